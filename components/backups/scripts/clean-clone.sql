-- Removes from a restored database what must not work in a clone: credentials, and everything that sends or costs.
--
-- Settings: clone.tables is clone-tables.json; clone.first_user is {"email", "name", "password": its bcrypt hash} of the first
-- user of this installation, which becomes an owner of every organization. Nobody else has a password.
--
-- clone-tables.json says for each table: `delete`, why all rows go; `set`, columns that get another value, in the rows that
-- meet `where`; `keep`, columns that stay although their names look like a secret or an address, and why; or as a text, why
-- all of a table stays. tests/unit/backups/test_clone_tables.py compares it with the tables of Langfuse.
DO $clean$
DECLARE
    decisions json := current_setting('clone.tables')::json;
    first_user json := current_setting('clone.first_user')::json;
    undecided text;
    one record;
BEGIN
    -- A newer release of Langfuse may have added a secret. Nobody may notice before it is used.
    SELECT string_agg(format('%s.%s', relname, attname), ', ' ORDER BY relname, attname) INTO undecided
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    CROSS JOIN LATERAL (SELECT decisions -> relname AS decision) AS found
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
        AND attname ~* ('secret|password|credential|encrypt|hash|api_?key|header|webhook|host|endpoint|smtp|email|bucket'
            || '|(^|_)(token|auth|url)(_|$)|(^|_)config$')
        AND decision -> 'delete' IS NULL AND decision -> 'set' -> attname IS NULL AND decision -> 'keep' -> attname IS NULL;
    IF undecided IS NOT NULL THEN
        RAISE EXCEPTION 'a clone could keep a secret or an address of the other installation: %', undecided
            USING HINT = 'Update this program, or say in components/backups/scripts/clone-tables.json what happens to them.';
    END IF;

    -- Tables and columns of other releases are not there.
    FOR one IN
        SELECT CASE WHEN value -> 'delete' IS NOT NULL THEN format('DELETE FROM public.%I', key)
            ELSE (
                SELECT format('UPDATE public.%I SET ', key) || string_agg(format('%I = %L', column_name, new.value), ', ')
                    || coalesce(' WHERE ' || (decision.value ->> 'where'), '')
                FROM json_each_text(decision.value -> 'set') AS new(column_name, value)
                JOIN pg_attribute ON attrelid = to_regclass(format('public.%I', key)) AND attname = column_name
            ) END AS statement
        FROM json_each(decisions) AS decision WHERE to_regclass(format('public.%I', key)) IS NOT NULL
    LOOP
        IF one.statement IS NOT NULL THEN
            EXECUTE one.statement;
        END IF;
    END LOOP;

    INSERT INTO public.users (id, email, name, password)
    VALUES (gen_random_uuid()::text, lower(first_user ->> 'email'), first_user ->> 'name', first_user ->> 'password')
    ON CONFLICT (email) DO UPDATE SET password = EXCLUDED.password;
    INSERT INTO public.organization_memberships (id, org_id, user_id, role)
    SELECT gen_random_uuid()::text, organizations.id, users.id, 'OWNER' FROM public.organizations, public.users
    WHERE users.email = lower(first_user ->> 'email')
    ON CONFLICT (org_id, user_id) DO UPDATE SET role = 'OWNER';
END
$clean$;
