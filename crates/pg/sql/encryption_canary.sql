-- A known text sealed with each encryption key. A process whose key of that id differs cannot open the text and does not
-- start.
CREATE TABLE encryption_canary (
    key_id text PRIMARY KEY,
    sealed bytea NOT NULL,
    -- True once a process has sealed with the key: stored values may name it, and every process needs it.
    is_in_use boolean NOT NULL
);
