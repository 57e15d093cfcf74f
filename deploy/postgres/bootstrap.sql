-- Roles and schemas, run by a superuser with psql. Running it again changes nothing.
-- Each service owns one schema through a role of the same name that can touch nothing else. Passwords are set
-- where there are any: ALTER ROLE allegro_backup PASSWORD '…'.

SELECT 'CREATE DATABASE zaplecze' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'zaplecze') \gexec
\connect zaplecze

REVOKE ALL ON DATABASE zaplecze FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

DO $$
DECLARE
    service text;
BEGIN
    FOREACH service IN ARRAY ARRAY['allegro_backup', 'stock_sync', 'reminder_scheduler', 'balance_sync',
                                   'production_batches', 'webhook_dispatcher',
                                   'stock_sync'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service) THEN
            EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', service);
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE zaplecze TO %I', service);
        EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, service);
        EXECUTE format('ALTER ROLE %I IN DATABASE zaplecze SET search_path = %I', service, service);
    END LOOP;
END
$$;
