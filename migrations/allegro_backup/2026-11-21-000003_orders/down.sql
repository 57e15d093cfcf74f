DROP TABLE failed_orders, sync_cursors, order_events, order_line_items, order_versions, orders;
