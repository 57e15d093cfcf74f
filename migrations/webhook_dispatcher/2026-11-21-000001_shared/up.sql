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
-- Durable tasks: the row is the truth, whatever process runs it.
CREATE TABLE task_history (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    queue text NOT NULL,
    payload jsonb NOT NULL,
    status text NOT NULL DEFAULT 'queued'
        CONSTRAINT task_history_status CHECK (status IN ('queued', 'running', 'retrying', 'succeeded', 'failed', 'cancelled')),
    progress jsonb,
    attempt integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL CONSTRAINT task_history_max_attempts CHECK (max_attempts > 0),
    run_at timestamptz NOT NULL,
    unique_key text,
    requested_by text,
    -- Whose data it works on; a caller bound to a user sees only that user's tasks.
    user_id text,
    correlation_id text,
    result jsonb,
    error text,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz NOT NULL,
    heartbeat_at timestamptz
) WITH (fillfactor = 80);

-- One task of a queue runs at a time, even beside a worker that lost its connection.
CREATE UNIQUE INDEX task_history_one_running_per_queue ON task_history (queue) WHERE status = 'running';
-- At most one live task with a key.
CREATE UNIQUE INDEX task_history_unique_key ON task_history (unique_key)
    WHERE unique_key IS NOT NULL AND status IN ('queued', 'running', 'retrying');
CREATE INDEX task_history_due ON task_history (run_at, id) WHERE status IN ('queued', 'retrying');
CREATE INDEX task_history_by_queue ON task_history (queue, kind, id DESC);
CREATE INDEX task_history_listed ON task_history (created_at DESC, id DESC);
CREATE INDEX task_history_listed_of_user ON task_history (user_id, created_at DESC, id DESC) WHERE user_id IS NOT NULL;
CREATE INDEX task_history_listed_of_kind ON task_history (kind, created_at DESC, id DESC);
CREATE INDEX task_history_listed_of_queue ON task_history (queue, created_at DESC, id DESC);
-- The states few tasks are in, so that the few are found among the many that succeeded.
CREATE INDEX task_history_listed_live ON task_history (created_at DESC, id DESC)
    WHERE status IN ('queued', 'running', 'retrying');
CREATE INDEX task_history_listed_failed ON task_history (created_at DESC, id DESC) WHERE status IN ('failed', 'cancelled');
CREATE INDEX task_history_finished ON task_history (finished_at) WHERE finished_at IS NOT NULL;
-- Tasks that are asked for again and again: the row is the truth, any number of processes may look at it.
CREATE TABLE schedules (
    name text PRIMARY KEY,
    kind text NOT NULL,
    queue text NOT NULL,
    payload jsonb NOT NULL,
    max_attempts integer NOT NULL CONSTRAINT schedules_max_attempts CHECK (max_attempts > 0),
    user_id text,
    -- One of the two says when.
    cron text,
    time_zone text,
    every interval,
    is_enabled boolean NOT NULL DEFAULT true,
    next_run_at timestamptz NOT NULL,
    last_run_at timestamptz,
    last_success_at timestamptz,
    last_error text,
    -- The run asked for last; the next one waits for its end.
    task_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schedules_timing CHECK ((cron IS NULL) = (time_zone IS NULL) AND (cron IS NULL) <> (every IS NULL)),
    CONSTRAINT schedules_every CHECK (every >= interval '1 second')
);
CREATE INDEX schedules_due ON schedules (next_run_at) WHERE is_enabled;
CREATE INDEX schedules_task ON schedules (task_id);
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
