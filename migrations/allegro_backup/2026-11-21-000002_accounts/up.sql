-- A connected Allegro account of one user: a pair of tokens, sealed.
CREATE TABLE user_tokens (
    id uuid PRIMARY KEY,
    user_id text NOT NULL CONSTRAINT user_tokens_user_id CHECK (length(user_id) BETWEEN 1 AND 255),
    account_name text,
    allegro_seller_id text NOT NULL,
    allegro_login text NOT NULL,
    access_token bytea NOT NULL,
    refresh_token bytea NOT NULL,
    scopes text NOT NULL,
    expires_at timestamptz NOT NULL,
    refresh_expires_at timestamptz NOT NULL,
    last_refreshed_at timestamptz,
    is_active boolean NOT NULL DEFAULT true,
    needs_reauthorization boolean NOT NULL DEFAULT false,
    reauthorization_reason text,
    -- Grows with each new pair: who read an older one must not write.
    generation bigint NOT NULL DEFAULT 1,
    -- One refresh at a time: whoever holds the lease talks to Allegro. Written down before the call, so that a
    -- process that dies in between is followed by another try with the same refresh token.
    refresh_lease_until timestamptz,
    -- Attempts are numbered, and the pair remembers which one brought it: of two from the same pair the later one's stays.
    refresh_attempt bigint NOT NULL DEFAULT 0,
    pair_attempt bigint,
    -- When the first of the attempts was made that follow each other within Allegro's grace.
    refresh_begun_at timestamptz,
    -- What was switched off when only its owner could help, and is switched on when the owner has.
    paused_schedules text[] NOT NULL DEFAULT '{}',
    connected_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A seller a user connects again is the same account again.
CREATE UNIQUE INDEX user_tokens_once ON user_tokens (user_id, allegro_seller_id);

-- A device flow in progress (RFC 8628).
CREATE TABLE authorizations (
    id uuid PRIMARY KEY,
    user_id text NOT NULL,
    account_name text,
    device_code bytea NOT NULL,
    device_code_hash bytea NOT NULL,
    user_code text NOT NULL,
    verification_uri text NOT NULL,
    verification_uri_complete text NOT NULL,
    poll_seconds int NOT NULL,
    expires_at timestamptz NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT authorizations_status CHECK (status IN ('pending', 'completed', 'denied', 'expired', 'failed')),
    error text,
    -- The tokens a poll brought, kept before anything else is done: the device code is used up by then.
    access_token bytea,
    refresh_token bytea,
    scopes text,
    access_expires_at timestamptz,
    -- One poller at a time: whoever holds the turn asks Allegro. Past and not taken back, its answer was never seen.
    poll_lease_until timestamptz,
    task_id uuid NOT NULL,
    token_id uuid REFERENCES user_tokens,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX authorizations_device_code ON authorizations (device_code_hash);
