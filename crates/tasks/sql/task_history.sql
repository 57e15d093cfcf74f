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
