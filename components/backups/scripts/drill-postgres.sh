#!/bin/sh
# Restores the dump of a set into a server of its own, which only this container can reach, and notes what it contains.
#
# A fault of the dump is noted and is no failure: the step after writes the verdict (judge-drill.js). It fails if the drill
# could not be done, for example because the store did not answer or the volume is full. The data is deleted at the end.
#
# Environment: PGDATA (on the volume of this pod), PGHOST (a directory for the socket), POSTGRES_INITDB_ARGS,
# APPLICATION_ROLE, APPLICATION_DATABASE, PUBLIC_KEY (API key of the first start), WORK_DIR with `set`, `dump` and `faults`,
# CLIENT_DIR (written by copy-client.sh), BUCKET, and the variables of rclone-remotes.sh.
set -eu

# shellcheck source=components/backups/scripts/rclone-remotes.sh
. "${0%/*}/rclone-remotes.sh"

export PATH="$PATH:$CLIENT_DIR"
remote STORE ''
export PGDATABASE="$APPLICATION_DATABASE"

fail() {
    echo "drill-postgres: $1" >&2
    exit 1
}

fault() {
    echo "drill-postgres: $1" >&2
    echo "$1" >> "$WORK_DIR/restore-faults" # `faults` is a file of another user
    exit 0
}

[ ! -s "$WORK_DIR/faults" ] || exit 0

work="$CLIENT_DIR/work"
rm -rf "$work" "$PGDATA" "$PGDATA.unfinished"
mkdir "$work"
mkfifo "$work/sum.in" "$work/size.in"

end() {
    pg_ctl --pgdata="$PGDATA" --silent --wait --mode=immediate stop > /dev/null 2>&1 || true
    rm -rf "$PGDATA" "$PGDATA.unfinished" "$work"
}
trap end EXIT
trap 'exit 1' INT TERM

# The role's password is never used: the server listens at no address.
POSTGRES_PASSWORD=$(head -c 32 /dev/urandom | sha256sum | cut -c 1-64)
export POSTGRES_PASSWORD
sh "${0%/*}/initialize-postgres.sh"
unset POSTGRES_PASSWORD

# Nothing has to survive a crash here. Parallel workers would need more shared memory than a container has.
pg_ctl --pgdata="$PGDATA" --silent --wait --log="$work/server.log" start \
    --options="-c listen_addresses='' -c unix_socket_directories='$PGHOST' -c timezone=UTC -c autovacuum=off \
-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 \
-c max_wal_size=1GB -c shared_buffers=128MB -c maintenance_work_mem=128MB -c max_connections=10 \
-c max_parallel_maintenance_workers=0 -c max_parallel_workers_per_gather=0 -c logging_collector=off" ||
    fail "the server of the drill did not start: $(tail -n 5 "$work/server.log")"

sql() {
    psql --no-psqlrc --no-align --tuples-only --quiet --field-separator='	' --username postgres --set ON_ERROR_STOP=1 "$@"
}

# Runs a command of a pipeline, and notes its failure in a file: a POSIX shell reports only the last command's status.
note_failure() {
    "$@" || echo "$1" >> "$work/failed"
}

# Copies standard input to standard output, and writes its checksum and size to the files "sum" and "size".
measure() {
    sha256sum < "$work/sum.in" > "$work/sum" &
    wc -c < "$work/size.in" > "$work/size" &
    tee "$work/sum.in" "$work/size.in" || echo "tee" >> "$work/failed"
    wait
}

object="$BUCKET/sets/$(cat "$WORK_DIR/set")/database.dump"
read -r bytes sum < "$WORK_DIR/dump"

# A provider's server may have extensions that this image lacks, and that Langfuse does not need.
sql --command 'SELECT name FROM pg_available_extensions' > "$work/extensions"
{ rclone cat "store:$object" 2> /dev/null || true; } | pg_restore --list 2> /dev/null > "$work/contents" || true
awk 'FNR == NR { known[$1] = 1; next }
    / EXTENSION - / { name = $0; sub(/.* EXTENSION - /, "", name); sub(/ .*/, "", name); if (!(name in known)) $0 = ";" $0 }
    { print }' "$work/extensions" "$work/contents" > "$work/list"

echo "restoring $bytes bytes of $object"
note_failure rclone cat "store:$object" 2> "$work/rclone-errors" | measure | {
    note_failure pg_restore --exit-on-error --username postgres --dbname "$PGDATABASE" --use-list="$work/list" --no-owner \
        --no-privileges --no-comments --no-publications --no-subscriptions --no-security-labels 2> "$work/errors"
    cat > /dev/null # so that the checksum is that of the whole object
}
failed=$(cat "$work/failed" 2> /dev/null || true)
case $failed in
    *rclone* | *tee*) fail "cannot read $object: $(cat "$work/rclone-errors")" ;;
esac
# Error messages may quote values of rows.
error=$(grep -m 1 'error:' "$work/errors" | cut -c 1-300 | awk '{ sub(/: "[^"]*"$/, ""); print }') || true
[ "$(cut -d ' ' -f 1 "$work/sum")" = "$sum" ] && [ "$(tr -d ' ' < "$work/size")" = "$bytes" ] ||
    fault "$object differs from what was written"
if [ -n "$failed" ]; then
    sql --command 'SELECT 1' > /dev/null 2>&1 || fail "the server of the drill ended: $(grep -E 'FATAL|PANIC|signal' "$work/server.log" | tail -n 2)"
    case $(cat "$work/errors") in
        *'No space left'*) fail "the volume of this pod is too small for the restored database: see backups.drillStorage" ;;
        *'out of memory'* | *'out of shared memory'*) fail "the server of the drill lacks memory: $error" ;;
    esac
    fault "$object can't be restored: $error"
fi

sql > "$WORK_DIR/rows" << 'END'
SELECT format('SELECT %L, count(*) FROM %s', nspname || '.' || relname, c.oid::regclass)
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname, relname \gexec
END

exists() {
    [ "$(sql --command "SELECT to_regclass('public.$1') IS NOT NULL")" = t ]
}

exists _prisma_migrations || fault "the restored database has no table _prisma_migrations, so it is none of Langfuse"
sql --command 'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL' \
    > "$WORK_DIR/unfinished"
! exists llm_api_keys ||
    sql --command 'SELECT secret_key FROM llm_api_keys ORDER BY created_at DESC LIMIT 100' > "$WORK_DIR/llm-keys"
! exists api_keys || sql --set "key=$PUBLIC_KEY" > "$WORK_DIR/api-key" << 'END'
SELECT fast_hashed_secret_key FROM api_keys WHERE public_key = :'key' AND fast_hashed_secret_key IS NOT NULL;
END
echo "restored $bytes bytes"
