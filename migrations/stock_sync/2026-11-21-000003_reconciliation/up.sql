-- The runs that compare the shelf with allegro-backup, and what they found.
CREATE TABLE reconciliations (
    id uuid PRIMARY KEY,
    -- Absent for a run over every account and the ledger.
    token_id uuid,
    fix boolean NOT NULL,
    total_checked bigint NOT NULL DEFAULT 0,
    -- Orders that differ.
    differing bigint NOT NULL DEFAULT 0,
    auto_fixed bigint NOT NULL DEFAULT 0,
    -- More differed than the fuse lets pass: nothing was put right.
    is_held boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL,
    finished_at timestamptz
);

CREATE INDEX reconciliations_newest ON reconciliations (started_at DESC, id DESC);

CREATE TABLE discrepancies (
    id uuid PRIMARY KEY,
    kind text NOT NULL
        CONSTRAINT discrepancies_kind
        CHECK (kind IN ('not_taken', 'not_returned', 'remote_missing', 'remote_only', 'quantity_mismatch',
            'ledger_mismatch')),
    token_id uuid,
    user_id text,
    order_id text,
    -- Of a level that is not the sum of its movements.
    sku text,
    warehouse text,
    local jsonb NOT NULL,
    remote jsonb NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    -- The run that saw it last.
    reconciliation_id uuid NOT NULL,
    fixed_at timestamptz,
    -- `auto_fixed` by a run, or `gone` when a run did not find it any more.
    how text CONSTRAINT discrepancies_how CHECK (how IN ('auto_fixed', 'gone')),
    CONSTRAINT discrepancies_fixed CHECK ((fixed_at IS NULL) = (how IS NULL))
);

-- One open finding of each kind about each thing.
CREATE UNIQUE INDEX discrepancies_open ON discrepancies (kind, token_id, order_id, sku, warehouse)
    NULLS NOT DISTINCT WHERE fixed_at IS NULL;
CREATE INDEX discrepancies_newest ON discrepancies (first_seen DESC, id DESC);
CREATE INDEX discrepancies_of_run ON discrepancies (reconciliation_id, id);
CREATE INDEX discrepancies_fixed_at ON discrepancies (fixed_at) WHERE fixed_at IS NOT NULL;
