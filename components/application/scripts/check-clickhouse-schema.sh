#!/bin/sh
# Checks that ClickHouse can be migrated to a release of Langfuse.
#
# Fails if ClickHouse does not work with the release, or if the schema is dirty or newer than the release, and prints
# how to repair it. Before that, it waits for the server and for Keeper: without Keeper, ON CLUSTER statements hang.
#
# Environment: CLICKHOUSE_HOST, CLICKHOUSE_PORT, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD (read by the client),
# CLICKHOUSE_DATABASE, CLICKHOUSE_CLUSTERED, CLICKHOUSE_TLS, WAIT_SECONDS, RELEASE_DIR (written by
# list-release-migrations.sh), LANGFUSE_VERSION, MINIMUM_CLICKHOUSE, and FIXED_LANGFUSE (the first release that works
# with every ClickHouse; empty if LANGFUSE_VERSION does).
set -eu

secure=
[ "$CLICKHOUSE_TLS" = false ] || secure=--secure

fail() {
    echo "check-clickhouse-schema: $1" >&2
    exit 1
}

query() {
    clickhouse-client --host "$CLICKHOUSE_HOST" --port "$CLICKHOUSE_PORT" --user "$CLICKHOUSE_USER" \
        --connect_timeout 5 ${secure:+"$secure"} --query "$1"
}

# Retries a statement until it succeeds. Arguments: name of the server for the error, statement.
wait_for() {
    until error=$(query "$2" 2>&1 > /dev/null); do
        [ "$(date +%s)" -lt "$deadline" ] ||
            fail "$1 did not answer within $WAIT_SECONDS s: $error"
        sleep 2
    done
}

# Succeeds if release $1 is older than $2.
older() {
    [ "$1" != "$2" ] &&
        [ "$(printf '%s\n' "$1" "$2" | sort -t . -k 1,1n -k 2,2n -k 3,3n -k 4,4n | head -n 1)" = "$1" ]
}

deadline=$(($(date +%s) + WAIT_SECONDS))
wait_for "ClickHouse at $CLICKHOUSE_HOST:$CLICKHOUSE_PORT" 'SELECT 1'
if [ "$CLICKHOUSE_CLUSTERED" = true ]; then
    wait_for 'Keeper behind ClickHouse' "SELECT count() FROM system.zookeeper WHERE path = '/'"
fi

running=$(query 'SELECT version()')
if older "$running" "$MINIMUM_CLICKHOUSE"; then
    fail "ClickHouse $running is too old for Langfuse $LANGFUSE_VERSION. Nothing was changed. Use ClickHouse \
$MINIMUM_CLICKHOUSE or newer."
fi
# ClickHouse 26.8 and newer reads a number in JSON as a time in seconds, unless the user's profile changes that. Older
# releases of Langfuse write milliseconds, so every trace would be lost.
reads_seconds=$(query "SELECT count() FROM system.settings
    WHERE name = 'input_format_read_datetime_number_as_raw_value' AND value = '0'")
if [ -n "$FIXED_LANGFUSE" ] && [ "$reads_seconds" != 0 ]; then
    fail "ClickHouse $running would drop every trace that Langfuse $LANGFUSE_VERSION writes. Nothing was changed. Either
  - use Langfuse $FIXED_LANGFUSE or newer: pulumi config set langfuse:version $FIXED_LANGFUSE, or
  - set compatibility to 26.4 in the settings profile of the user $CLICKHOUSE_USER, or
  - use a ClickHouse before 26.8."
fi

table="$CLICKHOUSE_DATABASE.schema_migrations"
if [ "$(query "EXISTS TABLE $table")" = 0 ]; then
    echo "ClickHouse has no schema yet"
    exit 0
fi

# golang-migrate appends a row before and after each migration.
state=$(query "SELECT version, dirty FROM $table ORDER BY sequence DESC LIMIT 1 FORMAT TSV")
if [ -z "$state" ]; then
    echo "ClickHouse has no schema yet"
    exit 0
fi
version=$(printf '%s' "$state" | cut -f 1)
dirty=$(printf '%s' "$state" | cut -f 2)
newest=$(sort -n "$RELEASE_DIR/clickhouse" | tail -n 1)

if [ "$dirty" != 0 ]; then
    fail "migration $version started but did not finish: the database is dirty. This run changed nothing. This shows \
what the migration has changed, and repairs it:
  python -m operations repair --stack STACK
Then run pulumi up again."
fi
if [ "$version" -gt "$newest" ]; then
    fail "the schema is newer than this release: it is at migration $version, the release ends at $newest. Nothing was \
changed. To repair, either
  - use a release that contains the migration: pulumi config set langfuse:version VERSION, or
  - go back: python -m operations restore --stack STACK --overwrite restores the newest set of this release or an older \
one, and loses what was written since then. docs/runbooks/langfuse-release.md, Going back, has the steps."
fi
echo "ClickHouse: at migration $version of $newest, clean"
