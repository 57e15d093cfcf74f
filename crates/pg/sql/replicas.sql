-- The service's running processes and the ids of their encryption keys. A process renews its row every ten seconds and
-- deletes it when it has stopped.
CREATE TABLE replicas (
    id uuid PRIMARY KEY,
    -- Host and process id, for operators.
    name text NOT NULL,
    -- The first key seals.
    key_ids text[] NOT NULL,
    seen_at timestamptz NOT NULL
);
