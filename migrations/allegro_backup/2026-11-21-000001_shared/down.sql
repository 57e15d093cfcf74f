DROP TABLE task_history, inbox, outbox;
