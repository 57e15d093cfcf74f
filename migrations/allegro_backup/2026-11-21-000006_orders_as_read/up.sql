-- Orders as people and programs look for them.
ALTER TABLE orders
    -- The words an order is found by, folded as `domain::search` does; a column, so that a list that walks by date
    -- need not unpack the document.
    ADD COLUMN search tsvector NOT NULL DEFAULT '',
    -- Technical flags: what stock-sync and the seller's own programs have done about the order. In the order's row, so
    -- that "those not done yet" is an index and not a search through everything.
    ADD COLUMN is_stock_updated boolean NOT NULL DEFAULT false,
    ADD COLUMN stock_updated_at timestamptz,
    ADD COLUMN has_invoice_created boolean NOT NULL DEFAULT false,
    ADD COLUMN invoice_id text,
    ADD CONSTRAINT orders_stock_updated_at CHECK ((stock_updated_at IS NULL) <> is_stock_updated),
    ADD CONSTRAINT orders_invoice CHECK (invoice_id IS NULL OR has_invoice_created);

-- Each filter with the order of the list, so that a page is read where it begins.
CREATE INDEX orders_newest_of_status ON orders (token_id, status, order_date DESC, id DESC);
CREATE INDEX orders_newest_of_fulfillment ON orders (token_id, fulfillment_status, order_date DESC, id DESC);
CREATE INDEX orders_newest_of_buyer ON orders (token_id, lower(buyer_login), order_date DESC, id DESC);
CREATE INDEX orders_newest_of_stock ON orders (token_id, is_stock_updated, order_date DESC, id DESC);
CREATE INDEX orders_search ON orders USING gin (search);
