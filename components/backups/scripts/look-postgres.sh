#!/bin/sh
# Notes what a Postgres database contains and who uses it, for the step that chooses the set to restore (choose-set.js).
#
# Environment: ACTION (`plan` or `restore`), PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, POOLER (`true` if
# idle connections may be a pooler's) and WORK_DIR.
set -eu

fail() {
    echo "look-postgres: $1" >&2
    exit 1
}

# Runs a statement, or those of standard input, and prints values separated by tabs.
sql() {
    psql --no-psqlrc --no-align --tuples-only --quiet --field-separator='	' --set ON_ERROR_STOP=1 "$@"
}

# Prints who else connects as the role of the application. Connections of a pooler stay open when nobody uses them.
connected() {
    sql --command "SELECT concat_ws(' ', usename, 'at', host(client_addr), nullif(application_name, '')) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
            AND NOT ($POOLER AND state IS NOT DISTINCT FROM 'idle') ORDER BY 1"
}

# Prints the rows of each table: `schema.table`, tab, number.
rows() {
    sql << 'END'
SELECT format('SELECT %L, count(*) FROM %s', nspname || '.' || relname, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname, relname \gexec
END
}

deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(sql --command 'SELECT 1' 2>&1 > /dev/null); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "Postgres at $PGHOST:$PGPORT did not answer within $WAIT_SECONDS s: $error"
    sleep 2
done
while :; do
    connected > "$WORK_DIR/connected" || fail "cannot read who uses $PGDATABASE"
    # Web and worker may be about to end. A plan is made while they run.
    [ -s "$WORK_DIR/connected" ] && [ "$ACTION" = restore ] && [ "$(date +%s)" -lt "$deadline" ] || break
    sleep 2
done
sql --command 'SHOW server_version' > "$WORK_DIR/server" || fail "cannot read the release of the server"
# What the volume holds: databases, and the log, which grows by a restore to about its limit.
sql --command "SELECT sum(pg_database_size(oid)), pg_size_bytes(current_setting('max_wal_size')) FROM pg_database
    WHERE has_database_privilege(oid, 'CONNECT')" > "$WORK_DIR/used" || fail "cannot read the size of the databases"
rows > "$WORK_DIR/rows" || fail "cannot count the rows of $PGDATABASE"
