DROP INDEX orders_search, orders_newest_of_stock, orders_newest_of_buyer, orders_newest_of_fulfillment,
    orders_newest_of_status;
ALTER TABLE orders
    DROP COLUMN search, DROP COLUMN is_stock_updated, DROP COLUMN stock_updated_at, DROP COLUMN has_invoice_created,
    DROP COLUMN invoice_id;
