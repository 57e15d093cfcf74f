-- What the plant's name and code of a thing mean on the shelf.
CREATE TABLE batch_goods (
    id uuid PRIMARY KEY,
    nomenclature text NOT NULL,
    ekn_code text NOT NULL,
    sku text NOT NULL,
    -- Where it is received; the default warehouse when absent.
    warehouse text REFERENCES warehouses,
    created_at timestamptz NOT NULL,
    CONSTRAINT batch_goods_once UNIQUE (nomenclature, ekn_code)
);

CREATE INDEX batch_goods_newest ON batch_goods (created_at DESC, id DESC);

-- Closed batches: each is received once, however often it is closed.
CREATE TABLE batch_receipts (
    batch_id bigint PRIMARY KEY,
    batch_number bigint NOT NULL,
    nomenclature text NOT NULL,
    ekn_code text NOT NULL,
    units bigint NOT NULL CONSTRAINT batch_receipts_units CHECK (units >= 0),
    -- Absent while nobody has said what it is.
    received_at timestamptz,
    created_at timestamptz NOT NULL
);

CREATE INDEX batch_receipts_waiting ON batch_receipts (nomenclature, ekn_code) WHERE received_at IS NULL;

-- The SKUs that leave a warehouse when a bundle is sold: sets and multipacks.
CREATE TABLE bundles (
    sku text NOT NULL CONSTRAINT bundles_sku CHECK (sku = btrim(sku) AND length(sku) BETWEEN 1 AND 100),
    component text NOT NULL
        CONSTRAINT bundles_component CHECK (component = btrim(component) AND length(component) BETWEEN 1 AND 100),
    -- Units of the component in one bundle.
    quantity bigint NOT NULL CONSTRAINT bundles_quantity CHECK (quantity BETWEEN 1 AND 1000000),
    PRIMARY KEY (sku, component),
    CONSTRAINT bundles_not_itself CHECK (sku <> component)
);
