//! SQL of the stock-sync benchmark.

/// Number of orders published to stock-sync, and number that it knows.
pub(super) const ANNOUNCED: &str = "SELECT count(*) FROM orders WHERE ready_announced OR cancel_announced";
pub(super) const KNOWN: &str = "SELECT count(*) FROM order_states";

/// Sets levels above the units that will be sold, as an import does, and deletes earlier events of the orders.
pub(super) const PREPARE: &str = "\
    TRUNCATE order_states, order_views, line_states, pending_stock_operations, stock_synchronization_logs, inbox; \
    INSERT INTO stock_levels (sku, warehouse, allows_negative, on_hand, version, updated_at) \
        SELECT 'B-' || n, w.name, w.allows_negative, 1000000, 1, now() \
        FROM generate_series(0, 999) AS n CROSS JOIN warehouses AS w; \
    INSERT INTO stock_movements (id, sku, warehouse, delta, on_hand, kind, created_at) \
        SELECT gen_random_uuid(), sku, warehouse, on_hand, on_hand, 'import', now() FROM stock_levels";

/// An event for each stored order that it is ready, with three lines. A function publishes one at a time and records
/// the time.
pub(super) const EVENTS: &str = "\
    CREATE TABLE bench_events AS \
        SELECT n, id, subject, partition_key, convert_to(jsonb_build_object( \
            'specversion', '1.0', 'id', id, 'source', '/allegro-backup', 'type', 'order.ready', 'subject', subject, \
            'time', moment, 'datacontenttype', 'application/json', 'dataschema', 'about:blank', \
            'partitionkey', partition_key, 'sequence', 1, \
            'data', jsonb_build_object( \
                'token_id', partition_key, 'user_id', user_id, 'allegro_seller_id', seller, 'order_id', subject, \
                'status', 'READY_FOR_PROCESSING', 'fulfillment_status', 'NEW', 'fulfillment_provider', 'SELLER', \
                'revision', NULL, 'version', 1, 'order_date', moment, 'updated_at', moment, 'total', NULL, \
                'line_items', lines, 'backfill', false))::text, 'UTF8') AS body \
        FROM (SELECT row_number() OVER (ORDER BY o.allegro_order_id) AS n, gen_random_uuid() AS id, \
                  o.allegro_order_id AS subject, o.token_id::text AS partition_key, t.user_id, \
                  t.allegro_seller_id AS seller, \
                  to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS moment \
              FROM orders AS o JOIN user_tokens AS t ON t.id = o.token_id) AS stored \
        CROSS JOIN LATERAL (SELECT jsonb_agg(jsonb_build_object( \
            'id', gen_random_uuid(), 'offer_id', '7000000000', 'sku', 'B-' || (n * 3 + i) * 7919 % 1000, \
            'quantity', 1, 'price', NULL)) AS lines FROM generate_series(1, 3) AS i) AS made; \
    CREATE UNIQUE INDEX bench_events_n ON bench_events (n); \
    CREATE TABLE bench_published (n bigint PRIMARY KEY, published_at timestamptz NOT NULL); \
    CREATE FUNCTION bench_publish(number bigint) RETURNS void LANGUAGE sql AS $$ \
        INSERT INTO outbox (id, type, subject, partition_key, body) \
            SELECT id, 'order.ready', subject, partition_key, body FROM bench_events WHERE n = number; \
        INSERT INTO bench_published VALUES (number, clock_timestamp()); \
        SELECT pg_notify('outbox_' || current_schema(), '') $$";

/// Publishes many of them at once.
pub(super) fn publish_up_to(count: u32) -> String {
    format!(
        "INSERT INTO outbox (id, type, subject, partition_key, body) \
         SELECT id, 'order.ready', subject, partition_key, body FROM bench_events WHERE n <= {count} ORDER BY n"
    )
}

/// Seconds from the first applied event to the last deducted order, and the time of the former.
pub(super) const DEDUCTED: &str = "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)) - \
     (SELECT min(received_at) FROM inbox)) || ' ' || extract(epoch FROM (SELECT min(received_at) FROM inbox)) \
     FROM stock_movements WHERE kind = 'sale'";

/// Seconds from that time to the last flagged order.
pub(super) fn flagged_since(moment: &str) -> String {
    format!(
        "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin))) - {moment} FROM orders WHERE is_stock_updated"
    )
}

/// Milliseconds from the publication of an event to the commit of its order's flag: p50 and p99.
pub(super) fn delays_after(count: u32) -> String {
    format!(
        "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) || ' ' || percentile_disc(0.99) WITHIN GROUP (ORDER BY ms) \
         FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin) - t.published_at) * 1000 AS ms FROM bench_published AS t \
             JOIN bench_events AS f USING (n) JOIN orders AS o ON o.allegro_order_id = f.subject \
                 AND o.token_id::text = f.partition_key WHERE t.n > {count}) AS delays"
    )
}

/// Tables equal to those of a deduction.
pub(super) const RAW_TABLES: &str = "\
    CREATE TABLE raw_order_states (LIKE order_states INCLUDING ALL); \
    CREATE TABLE raw_views (LIKE order_views INCLUDING ALL); \
    CREATE TABLE raw_lines (LIKE line_states INCLUDING ALL); \
    CREATE TABLE raw_operations (LIKE pending_stock_operations INCLUDING ALL); \
    CREATE TABLE raw_movements (LIKE stock_movements INCLUDING ALL); \
    CREATE TABLE raw_logs (LIKE stock_synchronization_logs INCLUDING ALL); \
    CREATE TABLE raw_inbox (LIKE inbox INCLUDING ALL); \
    CREATE TABLE raw_outbox (LIKE outbox INCLUDING ALL); \
    CREATE TABLE raw_levels (LIKE stock_levels INCLUDING ALL); \
    INSERT INTO raw_levels SELECT * FROM stock_levels";

/// Inserts the rows of all deductions, in one statement.
pub(super) const RAW: &str = "\
    WITH i AS (INSERT INTO raw_inbox SELECT * FROM inbox), \
    s AS (INSERT INTO raw_order_states SELECT * FROM order_states), \
    v AS (INSERT INTO raw_views SELECT * FROM order_views), \
    n AS (INSERT INTO raw_lines SELECT * FROM line_states), \
    o AS (INSERT INTO raw_operations SELECT * FROM pending_stock_operations), \
    m AS (INSERT INTO raw_movements SELECT * FROM stock_movements WHERE kind = 'sale'), \
    l AS (INSERT INTO raw_logs SELECT * FROM stock_synchronization_logs WHERE action IN ('created', 'deducted')), \
    x AS (INSERT INTO raw_outbox (id, type, subject, partition_key, body) \
        SELECT gen_random_uuid(), 'stock.deducted', order_id, order_id, convert_to(repeat('x', 1200), 'UTF8') \
        FROM order_states) \
    UPDATE raw_levels AS r SET on_hand = r.on_hand - sold.units, version = r.version + 1 \
    FROM (SELECT sku, warehouse, -sum(delta) AS units FROM stock_movements WHERE kind = 'sale' GROUP BY 1, 2) AS sold \
    WHERE r.sku = sold.sku AND r.warehouse = sold.warehouse";

/// Removes them: the ledger is checked afterwards.
pub(super) const NO_RAW_TABLES: &str = "DROP TABLE raw_order_states, raw_views, raw_lines, raw_operations, raw_movements, raw_logs, raw_inbox, \
     raw_outbox, raw_levels";

/// Completed operations.
pub(super) const COMPLETED: &str = "SELECT count(*) FROM pending_stock_operations WHERE status = 'completed'";
/// Completed operations, how many of them at the first attempt, deducted units, and levels that differ from the sum of
/// their movements.
pub(super) const DONE: &str = "SELECT (SELECT count(*) FROM pending_stock_operations WHERE status = 'completed') || ' ' || \
     (SELECT count(*) FROM pending_stock_operations WHERE status = 'completed' AND retry_count = 0) || ' ' || \
     (SELECT -sum(delta) FROM stock_movements WHERE kind = 'sale') || ' ' || \
     (SELECT count(*) FROM stock_levels AS l WHERE on_hand <> (SELECT sum(delta) FROM stock_movements AS m \
          WHERE m.sku = l.sku AND m.warehouse = l.warehouse))";
/// Flagged orders.
pub(super) const FLAGGED: &str = "SELECT count(*) FROM orders WHERE is_stock_updated";
