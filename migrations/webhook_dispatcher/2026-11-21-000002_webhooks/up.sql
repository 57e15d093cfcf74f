-- Who wants to be told of what, and where.
CREATE TABLE webhook_subscriptions (
    id uuid PRIMARY KEY,
    -- The user whose subscription it is; absent for one of a service's credential.
    owner text,
    url text NOT NULL,
    events text[] NOT NULL,
    description text,
    secret bytea NOT NULL,
    -- The first so many retries of the schedule; all of them when absent.
    retry_count int CONSTRAINT webhook_subscriptions_retry_count CHECK (retry_count >= 0),
    timeout_seconds int NOT NULL CONSTRAINT webhook_subscriptions_timeout CHECK (timeout_seconds BETWEEN 1 AND 30),
    is_active boolean NOT NULL DEFAULT true,
    disabled_at timestamptz,
    disabled_reason text,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE INDEX webhook_subscriptions_newest ON webhook_subscriptions (created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- An event as it is sent: the signed bytes, the same for every subscription and every attempt.
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    type text NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    -- The trace the event belongs to (W3C Trace Context): every attempt goes on with it.
    traceparent text,
    tracestate text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL
);

-- One event on its way to one subscription.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    message_id uuid NOT NULL REFERENCES messages,
    subscription_id uuid NOT NULL REFERENCES webhook_subscriptions,
    event_type text NOT NULL,
    status text NOT NULL
        CONSTRAINT webhook_deliveries_status
        CHECK (status IN ('pending', 'delivering', 'success', 'failed', 'skipped', 'cancelled')),
    attempts int NOT NULL DEFAULT 0,
    -- When it is due. While it is being delivered: when whoever delivers it counts as dead.
    next_attempt_at timestamptz,
    -- Grows with each claim: whoever claimed it before must not write any more.
    claim int NOT NULL DEFAULT 0,
    response_status int,
    response_body text,
    error_message text,
    delivered_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT webhook_deliveries_once UNIQUE (message_id, subscription_id)
) WITH (fillfactor = 80);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status IN ('pending', 'delivering');
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (subscription_id, created_at DESC, id DESC);

-- Each try.
CREATE TABLE delivery_attempts (
    id bigserial PRIMARY KEY,
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries,
    attempt int NOT NULL,
    attempted_at timestamptz NOT NULL,
    duration_ms int NOT NULL,
    response_status int,
    response_body text,
    error_class text,
    error_message text
);

CREATE INDEX delivery_attempts_of ON delivery_attempts (delivery_id, id);
