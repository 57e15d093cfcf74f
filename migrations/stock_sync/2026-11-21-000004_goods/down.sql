DROP TABLE batch_receipts, batch_goods;
