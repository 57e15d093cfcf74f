DROP TABLE failed_orders, proven_days, sync_history, sync_cursors, order_events, order_line_items, order_versions, orders;
