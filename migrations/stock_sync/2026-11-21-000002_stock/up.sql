-- Where things lie. Whether a level may go below zero is the warehouse's to say, and each level repeats it, so that
-- the rule stands in the database.
CREATE TABLE warehouses (
    name text PRIMARY KEY CONSTRAINT warehouses_name CHECK (name = btrim(name) AND length(name) BETWEEN 1 AND 100),
    is_active boolean NOT NULL DEFAULT true,
    allows_negative boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT warehouses_with_rule UNIQUE (name, allows_negative)
);

-- The connected accounts whose orders are taken from the shelf.
CREATE TABLE accounts (
    token_id uuid PRIMARY KEY,
    user_id text NOT NULL,
    allegro_seller_id text NOT NULL,
    connected_at timestamptz NOT NULL,
    -- Only what was bought from then on is a sale.
    stock_from timestamptz NOT NULL,
    -- Where its sales are taken from; the default warehouse when absent.
    warehouse text REFERENCES warehouses,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

-- How much there is. It is the sum of its movements, always.
CREATE TABLE stock_levels (
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    sku text NOT NULL CONSTRAINT stock_levels_sku CHECK (sku = btrim(sku) AND length(sku) BETWEEN 1 AND 100),
    warehouse text NOT NULL,
    allows_negative boolean NOT NULL,
    on_hand bigint NOT NULL,
    -- From how many units down it counts as low; never when absent.
    low_threshold bigint CONSTRAINT stock_levels_low_threshold CHECK (low_threshold >= 0),
    -- Told that it is low, and not above the threshold since.
    is_low boolean NOT NULL DEFAULT false,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (sku, warehouse),
    CONSTRAINT stock_levels_warehouse FOREIGN KEY (warehouse, allows_negative)
        REFERENCES warehouses (name, allows_negative) ON UPDATE CASCADE,
    CONSTRAINT stock_levels_not_negative CHECK (on_hand >= 0 OR allows_negative)
) WITH (fillfactor = 80);

CREATE INDEX stock_levels_newest ON stock_levels (created_at DESC, id DESC);
CREATE INDEX stock_levels_newest_of_warehouse ON stock_levels (warehouse, created_at DESC, id DESC);

-- Each transaction that changes anything about an order locks its row first. It outlives everything else about the order.
CREATE TABLE order_states (
    order_id text PRIMARY KEY,
    version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
) WITH (fillfactor = 80);

-- The current state of an order, as each account shows it. Never deleted.
CREATE TABLE order_views (
    id bigserial PRIMARY KEY,
    order_id text NOT NULL,
    -- Absent for an order that was submitted without an account.
    token_id uuid,
    user_id text,
    status text NOT NULL
        CONSTRAINT order_views_status CHECK (status IN ('ready', 'cancelled', 'returned', 'gone', 'unknown')),
    -- The version of the order at allegro-backup. Absent for a submitted order.
    sequence bigint,
    -- When the content was requested from Allegro.
    read_at timestamptz,
    first_stored_at timestamptz NOT NULL,
    ready_at timestamptz,
    -- Sent, picked up, or partly sent since it last became ready.
    was_shipped boolean NOT NULL,
    -- Allegro ships it from its own warehouse.
    is_fulfilled_by_allegro boolean NOT NULL,
    -- It was returned when this account first showed it.
    is_first_returned boolean NOT NULL,
    -- The stock flag that allegro-backup must have.
    is_out boolean NOT NULL,
    -- [{"line_item_id", "sku", "quantity"}]; null where it is missing or unreadable.
    lines jsonb NOT NULL,
    CONSTRAINT order_views_once UNIQUE NULLS NOT DISTINCT (order_id, token_id)
) WITH (fillfactor = 80);

-- Where the units of a line are. Locked in key order after the orders. Never deleted.
CREATE TABLE line_states (
    -- The line's id where it is a UUID, else the order's id, `/` and the line's id.
    line_key text PRIMARY KEY,
    -- The orders that name the line.
    orders text[] NOT NULL,
    -- Of them, the order that was stored last: its state decides.
    carrier text NOT NULL,
    -- Deductions so far.
    generation bigint NOT NULL,
    -- What the last deduction moved and no refund has returned: [{"sku", "warehouse", "units"}].
    units_out jsonb NOT NULL,
    -- Where a person keeps the line until the carrier's state changes.
    hold text CONSTRAINT line_states_hold CHECK (hold IN ('in', 'out'))
) WITH (fillfactor = 70);

-- A line of an order on its way out of the warehouse, or back. No foreign keys lead from here, from movements or from the
-- log: whoever writes them holds the lock of the order and of the level (adr 0086).
CREATE TABLE pending_stock_operations (
    id uuid PRIMARY KEY,
    -- Absent for an order handed in without an account: nobody is told of it.
    token_id uuid,
    user_id text,
    -- Allegro's id of the order.
    order_id text NOT NULL,
    line_item_id text NOT NULL,
    -- The deduction of the line that it makes or reverts, counted from 1.
    generation bigint NOT NULL,
    operation_type text NOT NULL
        CONSTRAINT pending_stock_operations_type CHECK (operation_type IN ('deduction', 'refund', 'adjustment')),
    status text NOT NULL
        CONSTRAINT pending_stock_operations_status
        CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    -- Absent when the line has none.
    sku text,
    -- Absent when the line has none that can be deducted.
    quantity bigint CONSTRAINT pending_stock_operations_quantity CHECK (quantity > 0),
    warehouse text NOT NULL,
    -- Tries at allegro-backup that failed.
    retry_count int NOT NULL DEFAULT 0,
    max_retries int NOT NULL,
    next_retry_at timestamptz,
    -- The local half is done: the units moved, or need not.
    deducted_at timestamptz,
    -- allegro-backup knows.
    synced_at timestamptz,
    completed_at timestamptz,
    error_message text,
    -- While it is being processed: when whoever does counts as dead.
    lease_until timestamptz,
    -- Grows with each claim: whoever claimed it before must not write any more.
    attempt int NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pending_stock_operations_once UNIQUE NULLS NOT DISTINCT
        (order_id, token_id, line_item_id, operation_type, generation)
) WITH (fillfactor = 70);

CREATE INDEX pending_stock_operations_due ON pending_stock_operations (coalesce(lease_until, next_retry_at))
    WHERE status IN ('pending', 'processing');
CREATE INDEX pending_stock_operations_over ON pending_stock_operations (updated_at)
    WHERE status IN ('completed', 'cancelled', 'failed');
CREATE INDEX pending_stock_operations_of_state ON pending_stock_operations (status, id DESC)
    WHERE status <> 'completed';

-- The ledger. Rows are only ever added.
CREATE TABLE stock_movements (
    id uuid PRIMARY KEY,
    sku text NOT NULL,
    warehouse text NOT NULL,
    delta bigint NOT NULL CONSTRAINT stock_movements_delta CHECK (delta <> 0),
    -- What there was afterwards.
    on_hand bigint NOT NULL,
    kind text NOT NULL
        CONSTRAINT stock_movements_kind CHECK (kind IN ('sale', 'refund', 'adjustment', 'import', 'receipt')),
    operation_id uuid,
    order_id text,
    line_item_id text,
    -- The line of a sale or refund, and which of its deductions.
    line_key text,
    generation bigint,
    note text,
    -- The caller's name, for what people did.
    who text,
    created_at timestamptz NOT NULL
);

-- Each deduction of a line moves each SKU out once and back once, whatever orders carry the line.
CREATE UNIQUE INDEX stock_movements_once ON stock_movements (line_key, generation, kind, sku, warehouse)
    WHERE kind IN ('sale', 'refund');
CREATE INDEX stock_movements_of_level ON stock_movements (sku, warehouse, created_at DESC, id DESC);
CREATE INDEX stock_movements_of_order ON stock_movements (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX stock_movements_newest ON stock_movements (created_at DESC, id DESC);

-- What was done about an operation, and how it went.
CREATE TABLE stock_synchronization_logs (
    id bigserial PRIMARY KEY,
    operation_id uuid NOT NULL,
    action text NOT NULL,
    status text NOT NULL,
    details jsonb NOT NULL,
    timestamp timestamptz NOT NULL,
    execution_time_ms int
);

CREATE INDEX stock_synchronization_logs_of ON stock_synchronization_logs (operation_id, id);
-- Rows come in the order of time: a small index finds the latest.
CREATE INDEX stock_synchronization_logs_newest ON stock_synchronization_logs USING brin (timestamp);
