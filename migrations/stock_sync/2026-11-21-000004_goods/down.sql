DROP TABLE bundles, batch_receipts, batch_goods;
