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
