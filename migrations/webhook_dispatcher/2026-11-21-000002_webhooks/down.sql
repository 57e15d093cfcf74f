DROP TABLE delivery_totals, delivery_attempts, webhook_deliveries, messages, webhook_subscriptions;
