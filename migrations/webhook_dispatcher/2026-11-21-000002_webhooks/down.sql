DROP TABLE delivery_totals, delivery_attempts, webhook_deliveries, messages, webhook_credentials, webhook_subscriptions;
DROP SEQUENCE webhook_deliveries_place;
