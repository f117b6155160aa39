#!/bin/sh
# Writes what the release's image ships into RELEASE_DIR, for the checks that run before it migrates:
# postgres (names), clickhouse (version numbers), cleanup.sql (names that its entrypoint forgets first) and the
# certificates of public authorities.
set -eu

shared=${SHARED_DIR:-/app/packages/shared}

fail() {
    echo "list-release-migrations: $1" >&2
    exit 1
}

for file in "$shared"/prisma/migrations/*/migration.sql; do
    [ -f "$file" ] || fail "the image ships no Postgres migrations in $shared/prisma/migrations"
    folder=${file%/migration.sql}
    echo "${folder##*/}"
done > "$RELEASE_DIR/postgres"

for file in "$shared"/clickhouse/migrations/clustered/*.up.sql; do
    [ -f "$file" ] || fail "the image ships no ClickHouse migrations in $shared/clickhouse/migrations/clustered"
    name=${file##*/}
    echo "${name%%_*}"
done | sed 's/^0*//' > "$RELEASE_DIR/clickhouse"
[ -s "$RELEASE_DIR/clickhouse" ] || fail "the image ships no ClickHouse migrations"

cp "$shared/scripts/cleanup.sql" "$RELEASE_DIR/cleanup.sql"
sh "${0%/*}/copy-ca-bundle.sh" "$RELEASE_DIR/ca-bundle.pem"
echo "this release ships $(wc -l < "$RELEASE_DIR/postgres") Postgres and" \
    "$(wc -l < "$RELEASE_DIR/clickhouse") ClickHouse migrations"
