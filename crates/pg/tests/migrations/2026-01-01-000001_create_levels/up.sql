CREATE TABLE levels (sku text CONSTRAINT levels_sku_key PRIMARY KEY, quantity int CONSTRAINT levels_not_negative CHECK (quantity >= 0));
