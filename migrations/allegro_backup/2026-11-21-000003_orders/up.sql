-- The current content of every order ever seen.
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    token_id uuid NOT NULL REFERENCES user_tokens,
    allegro_order_id text NOT NULL,
    -- Absent, as any other extracted field, when Allegro's document has none that can be read.
    status text,
    fulfillment_status text,
    revision text,
    order_date timestamptz NOT NULL,
    allegro_updated_at timestamptz,
    buyer_login text,
    total_minor bigint,
    total_currency text,
    line_items int NOT NULL,
    -- As Allegro sent it, to the letter; json and not jsonb, which would write it anew (adr 0073).
    order_data json NOT NULL,
    content_hash bytea NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    -- When the request that brought this content was started: a slower, older answer never replaces it.
    asked_at timestamptz NOT NULL,
    -- How this content came: event, list, detail, manual or import.
    source text NOT NULL DEFAULT 'list',
    -- A content with fewer line items, or without its buyer, replaced a fuller one.
    lost_data boolean NOT NULL DEFAULT false,
    -- The state published last: ready for processing, or cancelled, or neither.
    ready_announced boolean NOT NULL DEFAULT false,
    cancel_announced boolean NOT NULL DEFAULT false,
    -- When it first became ready for processing.
    ready_at timestamptz,
    -- Sent, picked up or partly sent since it last became ready.
    was_shipped boolean NOT NULL DEFAULT false,
    -- SHA-256 of ids, SKUs and quantities of its lines.
    lines_hash bytea NOT NULL DEFAULT '',
    -- Allegro does not have it any more: merged into another, or gone without a trace.
    is_deleted boolean NOT NULL DEFAULT false,
    merged_into text,
    -- When the last list that named it was asked for.
    listed_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_once_per_token UNIQUE (token_id, allegro_order_id)
);

CREATE INDEX orders_newest ON orders (token_id, order_date DESC, id DESC);
-- What the sweep reads again, in the order it was asked for last.
CREATE INDEX orders_open ON orders (token_id, asked_at)
    WHERE NOT is_deleted AND status IS DISTINCT FROM 'CANCELLED'
      AND (fulfillment_status IS NULL OR fulfillment_status NOT IN ('SENT', 'PICKED_UP', 'CANCELLED', 'RETURNED'));
-- Labels that end an order can be taken back: it is read again for a while.
CREATE INDEX orders_ended ON orders (token_id, updated_at)
    WHERE NOT is_deleted AND status IS DISTINCT FROM 'CANCELLED'
      AND fulfillment_status IN ('SENT', 'PICKED_UP', 'CANCELLED', 'RETURNED');

-- Every content that was replaced, and every older one that arrived late.
CREATE TABLE order_versions (
    seq bigserial PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders,
    -- Absent for a content that arrived when a newer one was already there.
    version bigint,
    revision text,
    seen_at timestamptz NOT NULL,
    source text NOT NULL,
    content_hash bytea NOT NULL,
    order_data json NOT NULL,
    CONSTRAINT order_versions_once UNIQUE (order_id, version)
);

CREATE UNIQUE INDEX order_versions_late_once ON order_versions (order_id, content_hash) WHERE version IS NULL;

-- Documents are packed with LZ4: of all that storing an order takes, pglz would be a quarter (adr 0063). Both kinds may
-- stand side by side, so that a server built without LZ4 keeps its own.
DO $$ BEGIN
    ALTER TABLE orders ALTER COLUMN order_data SET COMPRESSION lz4;
    ALTER TABLE order_versions ALTER COLUMN order_data SET COMPRESSION lz4;
EXCEPTION
    WHEN feature_not_supported THEN NULL;
END $$;

CREATE TABLE order_line_items (
    order_id uuid NOT NULL REFERENCES orders,
    line_item_id text NOT NULL,
    offer_id text,
    sku text,
    quantity bigint,
    price_minor bigint,
    price_currency text,
    PRIMARY KEY (order_id, line_item_id)
);

CREATE INDEX order_line_items_id ON order_line_items (line_item_id);

-- Allegro's journal, as it was read.
CREATE TABLE order_events (
    seq bigserial,
    token_id uuid NOT NULL REFERENCES user_tokens,
    event_id text NOT NULL,
    allegro_order_id text,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    is_duplicate boolean NOT NULL,
    event_data jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, event_id)
);

CREATE INDEX order_events_latest ON order_events (token_id, seq DESC);
CREATE INDEX order_events_of_order ON order_events (token_id, allegro_order_id, type, occurred_at);

CREATE TABLE sync_cursors (
    token_id uuid PRIMARY KEY REFERENCES user_tokens,
    -- The journal's end as it was before the first list was read; absent for an empty journal.
    is_anchored boolean NOT NULL DEFAULT false,
    anchor_event_id text,
    -- The last event that landed.
    last_event_id text,
    -- When it last moved: an id may be older than the journal reaches back.
    last_event_at timestamptz,
    -- The list pass under way: whose it is, how far it goes, where it stands.
    pass_task_id uuid,
    pass_started_at timestamptz,
    pass_from timestamptz,
    pass_until timestamptz,
    window_from timestamptz,
    window_to timestamptz,
    window_offset bigint NOT NULL DEFAULT 0,
    window_total bigint,
    pass_done bigint NOT NULL DEFAULT 0,
    pass_total bigint NOT NULL DEFAULT 0,
    last_complete_list_sync timestamptz,
    last_events_sync timestamptz,
    last_complete_sweep timestamptz,
    -- How often the owner wants the journal to be read, where they chose it.
    interval_seconds int,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- What each reading came to. One that follows the journal and finds nothing leaves no row.
CREATE TABLE sync_history (
    task_id uuid PRIMARY KEY,
    -- Grows with each reading: what facts about an account's readings are compared by.
    seq bigserial,
    token_id uuid NOT NULL REFERENCES user_tokens,
    user_id text NOT NULL,
    kind text NOT NULL CONSTRAINT sync_history_kind CHECK (kind IN ('events', 'list', 'sweep', 'manual')),
    status text NOT NULL
        CONSTRAINT sync_history_status CHECK (status IN ('running', 'completed', 'failed', 'cancelled')),
    sync_started_at timestamptz NOT NULL,
    sync_completed_at timestamptz,
    sync_from_date timestamptz,
    sync_to_date timestamptz,
    orders_processed bigint NOT NULL DEFAULT 0,
    orders_added bigint NOT NULL DEFAULT 0,
    orders_updated bigint NOT NULL DEFAULT 0,
    orders_unchanged bigint NOT NULL DEFAULT 0,
    orders_failed bigint NOT NULL DEFAULT 0,
    error_message text
);

CREATE INDEX sync_history_newest ON sync_history (token_id, sync_started_at DESC, task_id DESC);
CREATE INDEX sync_history_running ON sync_history (task_id) WHERE status = 'running';
CREATE INDEX sync_history_ended ON sync_history (sync_completed_at) WHERE sync_completed_at IS NOT NULL;

-- The proof, a row for each day (UTC) of an account: what the last complete list over it was compared with.
CREATE TABLE proven_days (
    token_id uuid NOT NULL REFERENCES user_tokens,
    day date NOT NULL,
    -- When that list's reading was begun: what was bought later, it need not name.
    listed_at timestamptz NOT NULL,
    -- As it stood after that reading; the report counts anew.
    is_green boolean NOT NULL,
    PRIMARY KEY (token_id, day)
);

CREATE INDEX proven_days_open ON proven_days (token_id) WHERE NOT is_green;

-- Quarantine: one bad order never stops the others or the cursor.
-- Orders that an event named are read again: an answer right after an event can be stale.
CREATE TABLE order_rereads (
    token_id uuid NOT NULL REFERENCES user_tokens,
    allegro_order_id text NOT NULL,
    -- The second of the two.
    is_last boolean NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (token_id, allegro_order_id, is_last)
);

CREATE INDEX order_rereads_due ON order_rereads (token_id, due_at);

CREATE TABLE failed_orders (
    -- Orders of the quarantine are listed by it.
    seq bigint GENERATED ALWAYS AS IDENTITY,
    token_id uuid NOT NULL REFERENCES user_tokens,
    allegro_order_id text NOT NULL,
    error_class text NOT NULL,
    error_text text NOT NULL,
    -- What Allegro answered, where it answered something that could not be kept as an order.
    document bytea,
    attempts int NOT NULL DEFAULT 1,
    next_retry_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        -- 'suspected': it failed while others were answered, but not often enough to be blamed itself.
        CONSTRAINT failed_orders_status CHECK (status IN ('suspected', 'pending', 'resolved', 'abandoned')),
    -- The day (UTC) it belongs to, as far as is known.
    day date,
    -- A list named it, so it is Allegro's and must not be missed.
    in_list boolean NOT NULL DEFAULT false,
    merged_into text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, allegro_order_id)
);

CREATE INDEX failed_orders_seq ON failed_orders (token_id, seq) WHERE status IN ('pending', 'abandoned');
CREATE INDEX failed_orders_due ON failed_orders (next_retry_at) WHERE status IN ('pending', 'abandoned');
CREATE INDEX failed_orders_day ON failed_orders (token_id, day) WHERE status IN ('pending', 'abandoned');
