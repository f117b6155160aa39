-- Fails unless each table has as many rows as restore.rows states, a JSON object: {"schema.table": number}.
DO $compare$
DECLARE
    one record;
    found bigint;
BEGIN
    FOR one IN
        SELECT coalesce(wanted.key, present.name) AS name, present.oid::regclass AS place, wanted.value::bigint AS number
        FROM json_each_text(current_setting('restore.rows')::json) AS wanted
        FULL JOIN (
            SELECT c.oid, nspname || '.' || relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
            WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' AND NOT EXISTS (
                SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e'
            )
        ) AS present ON present.name = wanted.key
    LOOP
        found := NULL;
        IF one.place IS NOT NULL THEN
            EXECUTE format('SELECT count(*) FROM %s', one.place) INTO found;
        END IF;
        IF found IS DISTINCT FROM one.number THEN
            RAISE EXCEPTION 'after the restore, table % has % rows, and in the set %',
                one.name, coalesce(found::text, 'no'), coalesce(one.number::text, 'it does not exist');
        END IF;
    END LOOP;
END
$compare$;
