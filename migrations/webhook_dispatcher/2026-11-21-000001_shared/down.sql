DROP TABLE idempotency_keys, schedules, task_history, inbox, outbox;
