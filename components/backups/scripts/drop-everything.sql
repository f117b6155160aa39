-- Drops everything in the database that the role may drop, except extensions and the schema public.
DO $drop$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH found AS (
            SELECT 1 AS place, 'pg_namespace'::regclass AS classid, oid AS objid,
                format('SCHEMA IF EXISTS %I', nspname) AS object
            FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema') AND pg_has_role(nspowner, 'USAGE')
            UNION ALL
            -- The sequence of an identity column can only be dropped with its table.
            SELECT CASE relkind WHEN 'S' THEN 3 ELSE 2 END, 'pg_class'::regclass, oid,
                format('%s IF EXISTS public.%I', CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                    WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, relname)
            FROM pg_class WHERE relnamespace = to_regnamespace('public') AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
            UNION ALL
            SELECT 4, 'pg_proc'::regclass, oid,
                format('ROUTINE IF EXISTS public.%I(%s)', proname, pg_get_function_identity_arguments(oid))
            FROM pg_proc WHERE pronamespace = to_regnamespace('public')
            UNION ALL
            SELECT 5, 'pg_type'::regclass, t.oid,
                format('%s IF EXISTS public.%I', CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, typname)
            FROM pg_type t LEFT JOIN pg_class c ON c.oid = typrelid
            WHERE typnamespace = to_regnamespace('public') AND (typtype IN ('d', 'e', 'r') OR typtype = 'c' AND relkind = 'c')
        )
        SELECT 'DROP ' || object || ' CASCADE' FROM found
        WHERE NOT EXISTS (
            SELECT FROM pg_depend d WHERE d.classid = found.classid AND d.objid = found.objid AND deptype = 'e'
        )
        ORDER BY place
    LOOP
        EXECUTE statement;
    END LOOP;
END
$drop$;
