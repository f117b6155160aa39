#!/bin/sh
# Checks that the Postgres schema can be migrated to a release of Langfuse.
#
# Fails if the schema is half migrated or newer than the release, and prints how to repair it.
#
# Environment: PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, WAIT_SECONDS, DUMP_SECONDS (how long a dump that runs may
# take), and RELEASE_DIR (written by list-release-migrations.sh).
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
    fail "migration $name started but did not finish. This run changed nothing. This shows what the migration has \
changed, and repairs it:
  python -m operations repair --stack STACK
Then run pulumi up again."
fi

# Before it migrates, the entrypoint of the release removes the names in cleanup.sql from the table.
newer=$(query 'SELECT DISTINCT migration_name FROM _prisma_migrations
    WHERE rolled_back_at IS NULL ORDER BY migration_name' | while read -r name; do
    if ! grep -qxF -e "$name" "$RELEASE_DIR/postgres" && ! grep -qF -e "'$name'" "$RELEASE_DIR/cleanup.sql"; then
        echo "$name"
    fi
done)
if [ -n "$newer" ]; then
    name=$(printf '%s\n' "$newer" | tail -n 1)
    fail "the schema is newer than this release: the release does not contain $(printf '%s\n' "$newer" | wc -l) of its \
migrations, the last of them is $name. Nothing was changed. To repair, either
  - use a release that contains the migration: pulumi config set langfuse:version VERSION, or
  - go back: python -m operations restore --stack STACK --overwrite restores the newest set of this release or an older \
one, and loses what was written since then. docs/runbooks/langfuse-release.md, Going back, has the steps."
fi

# pg_dump locks every table until it ends. A migration would wait for it, and every query of the application for the
# migration. A backup that starts later waits for the migration (backup-postgres.sh).
deadline=$(($(date +%s) + DUMP_SECONDS))
while [ "$(query "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'pg_dump'")" != 0 ]; do
    [ "$(date +%s)" -lt "$deadline" ] ||
        fail "pg_dump has been running for $DUMP_SECONDS s, and the migration would stop the application until it ends. \
Nothing was changed. Run pulumi up again when the backup has ended."
    echo "waiting until pg_dump has ended"
    sleep 10
done
echo "Postgres: $(query 'SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL') migrations, all finished"
