ALTER TABLE levels ADD COLUMN note text;
