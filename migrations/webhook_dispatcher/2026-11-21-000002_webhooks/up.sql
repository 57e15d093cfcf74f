-- Subscriptions: which events, in which form, and how the receiver is doing. Outcomes lock the row.
CREATE TABLE webhook_subscriptions (
    id uuid PRIMARY KEY,
    -- The user whose subscription it is; absent for one of a service's credential.
    owner text,
    name text,
    description text,
    -- Scheme, host and port of the receiver's URL, shown to every reader.
    origin text NOT NULL,
    events text[] NOT NULL,
    -- Conditions on an event's data; all events of its types when absent. Not jsonb: its numbers keep every digit.
    filter json,
    -- The version of the interface its bodies are written in.
    api_version text NOT NULL DEFAULT 'v1',
    -- The first so many retries of the schedule; all of them when absent.
    retry_count int CONSTRAINT webhook_subscriptions_retry_count CHECK (retry_count >= 0),
    -- Seconds to wait before each retry, in place of the usual schedule.
    retry_schedule int[],
    timeout_seconds int NOT NULL CONSTRAINT webhook_subscriptions_timeout CHECK (timeout_seconds BETWEEN 1 AND 30),
    rate_limit_per_second int
        CONSTRAINT webhook_subscriptions_rate CHECK (rate_limit_per_second BETWEEN 1 AND 10000),
    max_concurrency int CONSTRAINT webhook_subscriptions_concurrency CHECK (max_concurrency BETWEEN 1 AND 64),
    ordered boolean NOT NULL DEFAULT false,
    -- Where in the data the key is whose events keep their order; the event's subject when absent.
    ordering_key text,
    payload_style text NOT NULL DEFAULT 'standard'
        CONSTRAINT webhook_subscriptions_style CHECK (payload_style IN ('standard', 'legacy')),
    seed_signature boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    disabled_at timestamptz,
    disabled_reason text,
    -- How often its receiver was gone or only failed.
    times_disabled bigint NOT NULL DEFAULT 0,
    consecutive_failures int NOT NULL DEFAULT 0,
    last_success_at timestamptz,
    -- The first failure since the last success.
    first_failure_at timestamptz,
    circuit_state text NOT NULL DEFAULT 'closed'
        CONSTRAINT webhook_subscriptions_circuit CHECK (circuit_state IN ('closed', 'open', 'half_open')),
    -- While it is open: until when nothing is sent. While it is half open: until when the one try must have ended.
    circuit_until timestamptz,
    -- How often it has opened since it was last closed: each time it stays open for longer.
    circuit_openings int NOT NULL DEFAULT 0,
    -- Until when the rate's allowance is used up.
    rate_used_until timestamptz,
    deleted_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE INDEX webhook_subscriptions_newest ON webhook_subscriptions (created_at DESC, id DESC) WHERE deleted_at IS NULL;

-- What requests to the receiver of a subscription are addressed, authenticated and signed with. Claims and outcomes update
-- webhook_subscriptions and never read these values, which are long (adr 0122).
CREATE TABLE webhook_credentials (
    -- The subscription's id.
    id uuid PRIMARY KEY REFERENCES webhook_subscriptions,
    -- Sealed: path and query of the receiver's URL, which often hold a token.
    path_and_query bytea NOT NULL,
    -- Sealed: the key that signs.
    secret bytea NOT NULL,
    -- Sealed: replaced keys, which sign too until they expire.
    previous_secrets bytea,
    -- Sealed: an object of header names and values.
    headers bytea,
    -- Sealed: a certificate chain and its key, as PEM.
    client_certificate bytea,
    -- PEM: certificate authorities that the receiver's certificate may come from, beside the public ones.
    custom_ca text
);

-- An event as it is sent: the signed bytes, the same for every subscription and every attempt.
CREATE TABLE messages (
    id uuid PRIMARY KEY,
    type text NOT NULL,
    subject text NOT NULL,
    -- Absent when it is kept no longer.
    body bytea,
    -- The trace the event belongs to (W3C Trace Context): every attempt goes on with it.
    traceparent text,
    tracestate text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL
);

CREATE INDEX messages_kept ON messages (received_at, id) WHERE body IS NOT NULL;

-- Where deliveries that keep an order stand in it: given as they are taken in, by no process's clock.
CREATE SEQUENCE webhook_deliveries_place;

-- One event on its way to one subscription.
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    -- No foreign keys (adr 0091): a message is written in the same transaction, a subscription's row is never removed.
    message_id uuid NOT NULL,
    subscription_id uuid NOT NULL,
    event_type text NOT NULL,
    -- Deliveries of one subscription and key go out one after another, by their places; absent where order is no matter.
    ordering_key text,
    place bigint,
    status text NOT NULL
        CONSTRAINT webhook_deliveries_status
        CHECK (status IN ('pending', 'delivering', 'success', 'failed', 'skipped', 'cancelled')),
    attempts int NOT NULL DEFAULT 0,
    -- Who set the present run of attempts going, and how many there had been before it.
    trigger text NOT NULL DEFAULT 'auto'
        CONSTRAINT webhook_deliveries_trigger CHECK (trigger IN ('auto', 'manual', 'replay', 'test')),
    attempts_before int NOT NULL DEFAULT 0,
    -- Start of the current run; null unless the delivery was retried by hand.
    restarted_at timestamptz,
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
    CONSTRAINT webhook_deliveries_place CHECK ((ordering_key IS NULL) = (place IS NULL)),
    CONSTRAINT webhook_deliveries_once UNIQUE (message_id, subscription_id)
) WITH (fillfactor = 80);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (subscription_id, next_attempt_at)
    WHERE ordering_key IS NULL AND status IN ('pending', 'delivering');
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (subscription_id, ordering_key, place)
    WHERE ordering_key IS NOT NULL AND status IN ('pending', 'delivering');
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (subscription_id, created_at DESC, id DESC);
-- Those that did not arrive are few and looked for: what succeeds at once is never in here.
CREATE INDEX webhook_deliveries_undelivered ON webhook_deliveries (subscription_id, status, created_at DESC, id DESC)
    WHERE status IN ('failed', 'skipped', 'cancelled');

-- Each try. Written with the delivery's own row held, and removed with it.
CREATE TABLE delivery_attempts (
    delivery_id uuid NOT NULL,
    attempt int NOT NULL,
    attempted_at timestamptz NOT NULL,
    duration_ms int NOT NULL,
    -- Who set it going, as in its delivery.
    trigger text NOT NULL DEFAULT 'auto',
    -- The address that was connected to.
    ip text,
    response_status int,
    -- An object of names and values.
    response_headers jsonb,
    response_body text,
    error_class text,
    error_message text
);

-- Not unique: one row that was refused would hold up the outcomes of all that are recorded with it.
CREATE INDEX delivery_attempts_of ON delivery_attempts (delivery_id, attempt);

-- What became of deliveries that are kept no longer, and how many events a filter left out; for ever.
CREATE TABLE delivery_totals (
    subscription_id uuid NOT NULL REFERENCES webhook_subscriptions,
    outcome text NOT NULL
        CONSTRAINT delivery_totals_outcome CHECK (outcome IN ('success', 'failed', 'skipped', 'cancelled', 'filtered')),
    count bigint NOT NULL,
    PRIMARY KEY (subscription_id, outcome)
);
