DROP TABLE replicas, encryption_canary, idempotency_keys, alert_chats, alert_deliveries, alert_notices, alerts, schedules, task_history, inbox, outbox;
