#!/bin/sh
# Refuses to migrate a Postgres schema that is half migrated or newer than the release, and says how to repair it.
# Reads PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, RELEASE_DIR (what list-release-migrations.sh wrote)
# and PSQL_COMMAND (how a person reaches the database with psql).
set -eu

fail() {
    echo "check-postgres-schema: $1" >&2
    exit 1
}

query() {
    psql --no-psqlrc --no-align --tuples-only --quiet --set ON_ERROR_STOP=1 --command "$1"
}

deadline=$(($(date +%s) + WAIT_SECONDS))
until error=$(query 'SELECT 1' 2>&1 > /dev/null); do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "Postgres at $PGHOST:$PGPORT did not answer within $WAIT_SECONDS s: $error"
    sleep 2
done

table=$(query "SELECT to_regclass('_prisma_migrations')")
if [ -z "$table" ]; then
    echo "Postgres has no schema yet"
    exit 0
fi

failed=$(query 'SELECT migration_name FROM _prisma_migrations
    WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at')
if [ -n "$failed" ]; then
    name=$(printf '%s\n' "$failed" | head -n 1)
    fail "migration $name was begun and never finished. Nothing was changed now. To repair:
  1. See what stopped it:
     $PSQL_COMMAND \\
       --command \"SELECT logs FROM _prisma_migrations WHERE migration_name = '$name'\"
  2. Undo by hand what it already did (its statements stand in prisma/migrations/$name/migration.sql), then:
     $PSQL_COMMAND \\
       --command \"UPDATE _prisma_migrations SET rolled_back_at = now()
                   WHERE migration_name = '$name' AND finished_at IS NULL\"
  3. Run pulumi up again: the migration is applied from its beginning."
fi

# The release's entrypoint forgets the names in cleanup.sql before it migrates.
newer=$(query 'SELECT DISTINCT migration_name FROM _prisma_migrations
    WHERE rolled_back_at IS NULL ORDER BY migration_name' | while read -r name; do
    if ! grep -qxF -e "$name" "$RELEASE_DIR/postgres" && ! grep -qF -e "'$name'" "$RELEASE_DIR/cleanup.sql"; then
        echo "$name"
    fi
done)
if [ -n "$newer" ]; then
    name=$(printf '%s\n' "$newer" | tail -n 1)
    fail "the schema is newer than this release: it has $(printf '%s\n' "$newer" | wc -l) migrations that the \
release does not know, the last is $name. Nothing was changed. To repair, either
  - go on with a release that has it: pulumi config set langfuse:version VERSION, or
  - restore the backup that was taken before the upgrade, then run pulumi up again."
fi
echo "Postgres: $(query 'SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL') migrations, all finished"
