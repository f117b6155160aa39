#!/bin/sh
# Restores a Postgres database from the set that the step before chose (choose-set.js), in one transaction. With
# ACTION=plan, it prints what it would do.
#
# The dump is streamed into the database. If it differs from the manifest by its checksum or by the rows of a table, or if
# this pod is killed, the transaction is rolled back and the database is as before. The volume needs room for both.
#
# Everything that the dump does not contain is dropped first: tables of a newer release would stop the migrations to it.
# Extensions stay, because only a superuser may create most of them; Langfuse needs none. Owners and privileges are not
# restored: everything belongs to the role of the application, and other roles may not exist.
#
# A set of another installation is changed in the same transaction, so nobody ever sees it as it was: media are found in the
# bucket of this installation, and a clone loses its credentials and everything that sends or costs (clean-clone.sql).
#
# Environment: ACTION, PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WORK_DIR, CLIENT_DIR (written by copy-client.sh),
# CLONE (`true` for a clone), FORMER_MEDIA_BUCKET (of the other installation, or empty), MEDIA_BUCKET, BUCKET, and the
# variables of rclone-remotes.sh.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

fail() {
    echo "restore-postgres: $1" >&2
    exit 1
}

# Prints a statement that fails unless each table has the rows of the manifest.
compare_rows() {
    printf "SET LOCAL restore.rows = '%s';\n" "$(cat "$WORK_DIR/rows.json")"
    cat "${0%/*}/compare-rows.sql"
}

# Prints what makes the data of another installation fit into this one.
adapt() {
    # Web signs links for the bucket in this column (web/src/features/media/server/mediaService.ts).
    [ -z "$FORMER_MEDIA_BUCKET" ] ||
        echo "UPDATE public.media SET bucket_name = '$MEDIA_BUCKET' WHERE bucket_name = '$FORMER_MEDIA_BUCKET';"
    [ "$CLONE" = true ] || return 0
    printf "SET LOCAL clone.tables = '%s';\n" "$(sed "s/'/''/g" "${0%/*}/clone-tables.json")"
    printf "SET LOCAL clone.first_user = '%s';\n" "$(cat "$WORK_DIR/first-user.json")"
    cat "${0%/*}/clean-clone.sql"
}

# Prints a statement that notes the set, for the next dump: it does not belong to backups of ClickHouse that were made after
# that set and before this restore (pairWith in sets.js). A comment on a table of the role needs no other right.
note_restore() {
    echo "DO \$note\$ BEGIN IF to_regclass('public._prisma_migrations') IS NOT NULL THEN"
    printf "COMMENT ON TABLE public._prisma_migrations IS '%s'; END IF; END \$note\$;\n" "$(cat "$WORK_DIR/restored")"
}

# Runs a command of a pipeline, and notes its failure in a file: a POSIX shell reports only the last command's status.
note_failure() {
    "$@" || echo "$1" >> "$work/failed"
}

# Prints the dump as SQL. Notes its checksum in the file "sum", and reports each table.
dump_as_sql() {
    sha256sum < "$work/sum.in" > "$work/sum" &
    summing=$!
    sed -n -e 's/^pg_restore: processing data for table/restoring/p' -e '/error:/p' -e '/warning:/p' < "$work/messages.in" >&2 &
    note_failure rclone cat "store:$BUCKET/sets/$chosen/database.dump" | note_failure tee "$work/sum.in" | {
        # Comments on extensions belong to whoever created them; so do publications.
        note_failure pg_restore --no-owner --no-privileges --no-comments --no-publications --no-subscriptions \
            --no-security-labels --verbose --file=- 2> "$work/messages.in"
        cat > /dev/null # so that the checksum is that of the whole object
    }
    wait "$summing"
}

# Prints everything that psql runs. Without COMMIT, the server rolls back: so nothing that goes wrong before it, such as
# the end of this pod in the middle of a table, can leave a part of the dump.
transaction() {
    # A notice would name each object that is dropped with another.
    # If this pod's node is lost, the server ends the transaction after two minutes.
    echo "SET tcp_keepalives_idle = 60; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 6;"
    echo "BEGIN; SET LOCAL client_min_messages = warning; SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = 0;"
    cat "${0%/*}/drop-everything.sql"
    dump_as_sql
    if [ -e "$work/failed" ]; then
        echo "the dump is incomplete: $(tr '\n' ' ' < "$work/failed")failed" > "$work/reason"
    elif [ "$(cut -d ' ' -f 1 "$work/sum")" != "$sum" ]; then
        echo "database.dump differs from the manifest: its SHA-256 is $(cut -d ' ' -f 1 "$work/sum"), not $sum" > "$work/reason"
    else
        compare_rows
        adapt
        note_restore
        echo "COMMIT; SELECT 'committed';"
    fi
}

if [ "$ACTION" = plan ]; then
    cat "$WORK_DIR/plan.json"
    exit
fi

started=$(date +%s)
export PATH="$PATH:$CLIENT_DIR"
remote STORE ''
work="$CLIENT_DIR/restore"
rm -rf "$work"
mkdir "$work"
mkfifo "$work/sum.in" "$work/messages.in"
chosen=$(cat "$WORK_DIR/set")
read -r bytes sum < "$WORK_DIR/dump"
echo "restoring $bytes bytes into database $PGDATABASE of $PGHOST:$PGPORT"
# The details of an error would quote values of rows.
transaction | psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --set VERBOSITY=terse --file=- \
    > "$work/output" ||
    fail "the dump can't be restored; the database is as before"
[ ! -e "$work/reason" ] || fail "$(cat "$work/reason"); the database is as before"
[ "$(tail -n 1 "$work/output")" = committed ] || fail "the transaction failed; the database is as before"
psql --no-psqlrc --quiet --command 'ANALYZE' || echo "restore-postgres: ANALYZE failed; autovacuum will do it later" >&2
printf '{"store":"postgres","set":"%s","bytes":%s,"seconds":%s}\n' "$chosen" "$bytes" "$(($(date +%s) - started))"
