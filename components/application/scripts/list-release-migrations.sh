#!/bin/sh
# Lists the migrations of a release of Langfuse for the checks that run before it migrates.
#
# Writes these files from the image to RELEASE_DIR: postgres (names), clickhouse (version numbers), cleanup.sql (names
# that the entrypoint removes first) and ca-bundle.pem (public CA certificates).
set -eu

shared=${SHARED_DIR:-/app/packages/shared}

fail() {
    echo "list-release-migrations: $1" >&2
    exit 1
}

for file in "$shared"/prisma/migrations/*/migration.sql; do
    [ -f "$file" ] || fail "the image contains no Postgres migrations in $shared/prisma/migrations"
    folder=${file%/migration.sql}
    echo "${folder##*/}"
done > "$RELEASE_DIR/postgres"

for file in "$shared"/clickhouse/migrations/clustered/*.up.sql; do
    [ -f "$file" ] || fail "the image contains no ClickHouse migrations in $shared/clickhouse/migrations/clustered"
    name=${file##*/}
    echo "${name%%_*}"
done | sed 's/^0*//' > "$RELEASE_DIR/clickhouse"
[ -s "$RELEASE_DIR/clickhouse" ] || fail "the image contains no ClickHouse migrations"

cp "$shared/scripts/cleanup.sql" "$RELEASE_DIR/cleanup.sql"
sh "${0%/*}/copy-ca-bundle.sh" "$RELEASE_DIR/ca-bundle.pem"
echo "this release contains $(wc -l < "$RELEASE_DIR/postgres") Postgres and" \
    "$(wc -l < "$RELEASE_DIR/clickhouse") ClickHouse migrations"
