#!/bin/sh
# Migrates both databases unless that is disabled, then runs the arguments. Steps, order and exit codes are those of
# Langfuse's web/entrypoint.sh.

. ./probe/database-url.sh

if [ -z "$CLICKHOUSE_URL" ]; then
    echo "Error: CLICKHOUSE_URL is not configured."
    exit 1
fi
export DIRECT_URL="${DIRECT_URL:-$DATABASE_URL}"

status=0
if [ "$LANGFUSE_AUTO_POSTGRES_MIGRATION_DISABLED" != true ]; then
    node ./probe/migrate.js cleanup ./packages/shared/scripts/cleanup.sql
    node ./probe/migrate.js postgres ./packages/shared/prisma/migrations
    status=$?
fi
if [ $status -ne 0 ]; then
    echo "Applying database migrations failed. Exiting..."
    exit $status
fi

if [ "$LANGFUSE_AUTO_CLICKHOUSE_MIGRATION_DISABLED" != true ]; then
    [ "$CLICKHOUSE_CLUSTER_ENABLED" = false ] && folder=unclustered || folder=clustered
    node ./probe/migrate.js clickhouse "./packages/shared/clickhouse/migrations/$folder"
    status=$?
fi
if [ $status -ne 0 ]; then
    echo "Applying clickhouse migrations failed. Exiting..."
    exit $status
fi

exec "$@"
