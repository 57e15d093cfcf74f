DROP TABLE inbox, outbox;
