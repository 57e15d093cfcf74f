DROP TABLE schedules, task_history, inbox, outbox;
