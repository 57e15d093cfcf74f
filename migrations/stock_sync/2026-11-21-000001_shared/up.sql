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
-- What people are told of: one open row for each cause.
CREATE TABLE alerts (
    id bigserial PRIMARY KEY,
    cause text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CONSTRAINT alerts_severity CHECK (severity IN ('info', 'warning', 'critical')),
    -- A later raise may make it worse: that is told once more.
    first_severity text NOT NULL,
    -- {"ru": {"title", "body"}, "pl": …, "en": …}
    texts jsonb NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    raised_at timestamptz NOT NULL,
    last_raised_at timestamptz NOT NULL,
    cleared_at timestamptz
);

CREATE UNIQUE INDEX alerts_open ON alerts (cause) WHERE cleared_at IS NULL;
CREATE INDEX alerts_ended ON alerts (coalesce(cleared_at, raised_at)) WHERE cleared_at IS NOT NULL OR severity = 'info';

-- What is to be said about an alert, each thing once.
CREATE TABLE alert_notices (
    id bigserial PRIMARY KEY,
    alert_id bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
    stage text NOT NULL CONSTRAINT alert_notices_stage CHECK (stage IN ('raised', 'escalated', 'cleared')),
    severity text NOT NULL,
    created_at timestamptz NOT NULL,
    -- When it was written to the log and addressed to every chat.
    addressed_at timestamptz,
    CONSTRAINT alert_notices_once UNIQUE (alert_id, stage)
);

CREATE INDEX alert_notices_unaddressed ON alert_notices (id) WHERE addressed_at IS NULL;

-- Each notice on its way to each chat. One that is 'sending' may have arrived.
CREATE TABLE alert_deliveries (
    chat_id bigint NOT NULL,
    notice_id bigint NOT NULL REFERENCES alert_notices ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT alert_deliveries_status CHECK (status IN ('pending', 'sending', 'sent', 'skipped', 'failed')),
    not_before timestamptz NOT NULL,
    ended_at timestamptz,
    error text,
    -- Telegram has refused a message it was part of: it is sent by itself.
    alone boolean NOT NULL DEFAULT false,
    PRIMARY KEY (chat_id, notice_id)
);

CREATE INDEX alert_deliveries_by_notice ON alert_deliveries (notice_id);
CREATE INDEX alert_deliveries_waiting ON alert_deliveries (chat_id, notice_id) WHERE status IN ('pending', 'sending');

-- A chat is written to by one sender at a time; until next_attempt_at it is that sender's, or waits.
CREATE TABLE alert_chats (
    chat_id bigint PRIMARY KEY,
    next_attempt_at timestamptz NOT NULL DEFAULT '-infinity',
    claim bigint NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    trouble text
);
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
-- A known text sealed with each encryption key. A process whose key of that id differs cannot open the text and does not
-- start.
CREATE TABLE encryption_canary (
    key_id text PRIMARY KEY,
    sealed bytea NOT NULL,
    -- True once a process has sealed with the key: stored values may name it, and every process needs it.
    is_in_use boolean NOT NULL
);
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
