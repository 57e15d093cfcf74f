CREATE TABLE effects (name text NOT NULL);
-- Counts all inserts, also those that are rolled back.
CREATE SEQUENCE tries;
CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('tries') <= 2 OR NEW.name = 'collides always' THEN
        RAISE 'as if another had changed it first' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER collide BEFORE INSERT ON effects FOR EACH ROW WHEN (NEW.name LIKE 'collides%') EXECUTE FUNCTION collide();
-- As above, at commit.
CREATE CONSTRAINT TRIGGER collide_at_commit AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.name LIKE 'commits%') EXECUTE FUNCTION collide();
