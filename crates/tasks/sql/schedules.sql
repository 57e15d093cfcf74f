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
