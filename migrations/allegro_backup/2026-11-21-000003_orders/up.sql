-- The current content of every order ever seen.
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    token_id uuid NOT NULL REFERENCES user_tokens,
    allegro_order_id text NOT NULL,
    status text NOT NULL,
    fulfillment_status text,
    revision text,
    order_date timestamptz NOT NULL,
    allegro_updated_at timestamptz,
    buyer_login text,
    total_minor bigint,
    total_currency text,
    line_items int NOT NULL,
    order_data jsonb NOT NULL,
    content_hash bytea NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    -- When the request that brought this content was started: a slower, older answer never replaces it.
    asked_at timestamptz NOT NULL,
    -- A content with fewer line items, or without its buyer, replaced a fuller one.
    lost_data boolean NOT NULL DEFAULT false,
    ready_announced boolean NOT NULL DEFAULT false,
    cancel_announced boolean NOT NULL DEFAULT false,
    is_deleted boolean NOT NULL DEFAULT false,
    merged_into text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_once_per_token UNIQUE (token_id, allegro_order_id)
);

CREATE INDEX orders_newest ON orders (token_id, order_date DESC, id DESC);

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
    order_data jsonb NOT NULL,
    CONSTRAINT order_versions_once UNIQUE (order_id, version)
);

CREATE UNIQUE INDEX order_versions_late_once ON order_versions (order_id, content_hash) WHERE version IS NULL;

CREATE TABLE order_line_items (
    order_id uuid NOT NULL REFERENCES orders,
    line_item_id text NOT NULL,
    offer_id text NOT NULL,
    sku text,
    quantity bigint NOT NULL,
    price_minor bigint,
    price_currency text,
    PRIMARY KEY (order_id, line_item_id)
);

CREATE INDEX order_line_items_id ON order_line_items (line_item_id);
CREATE INDEX order_line_items_sku ON order_line_items (sku) WHERE sku IS NOT NULL;

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
    -- The list pass under way: whose it is, how far it goes, where it stands.
    pass_task_id uuid,
    pass_until timestamptz,
    window_from timestamptz,
    window_to timestamptz,
    window_offset bigint NOT NULL DEFAULT 0,
    window_total bigint,
    pass_done bigint NOT NULL DEFAULT 0,
    pass_total bigint NOT NULL DEFAULT 0,
    last_complete_list_sync timestamptz,
    last_events_sync timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Quarantine: one bad order never stops the others or the cursor.
CREATE TABLE failed_orders (
    token_id uuid NOT NULL REFERENCES user_tokens,
    allegro_order_id text NOT NULL,
    error_class text NOT NULL,
    error_text text NOT NULL,
    -- What Allegro answered, where it answered something that could not be kept as an order.
    document bytea,
    attempts int NOT NULL DEFAULT 1,
    next_retry_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT failed_orders_status CHECK (status IN ('pending', 'resolved', 'abandoned')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, allegro_order_id)
);
