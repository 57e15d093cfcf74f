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
