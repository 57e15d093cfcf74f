DROP TABLE line_states, order_views, stock_synchronization_logs, stock_movements, pending_stock_operations, order_states, stock_levels, accounts,
    warehouses;
