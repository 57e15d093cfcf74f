-- Facts to be told: written in the transaction of the change they speak of, deleted when the broker has them.
CREATE TABLE outbox (
    seq bigserial PRIMARY KEY,
    id uuid NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    partition_key text NOT NULL,
    body bytea NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    -- Fresh rows come first; a row the broker refused waits here without holding up the others.
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);

CREATE INDEX outbox_due ON outbox (next_attempt_at, seq);
-- Facts already applied: written in the transaction of their effect, so that a second delivery has none.
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

CREATE INDEX inbox_received_at ON inbox (received_at);
-- Answers already given, by caller and Idempotency-Key: written in the transaction of the effect they tell of, so that
-- a request sent again has none.
CREATE TABLE idempotency_keys (
    -- Made of caller and key.
    id uuid PRIMARY KEY,
    -- SHA-256 of method, path and body.
    request_hash bytea NOT NULL,
    status int NOT NULL,
    -- Sealed: it may hold a secret that is shown once.
    body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE INDEX idempotency_keys_expires_at ON idempotency_keys (expires_at);
