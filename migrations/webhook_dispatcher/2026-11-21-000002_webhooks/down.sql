DROP TABLE delivery_attempts, webhook_deliveries, messages, webhook_subscriptions;
