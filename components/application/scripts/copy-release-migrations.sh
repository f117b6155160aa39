#!/bin/sh
# Copies the migrations of a release of Langfuse from its image, for the container that repairs them.
#
# Environment: RELEASE_DIR.
set -eu

shared=${SHARED_DIR:-/app/packages/shared}

for folder in "$shared/prisma/migrations" "$shared/clickhouse/migrations"; do
    [ -d "$folder" ] || {
        echo "copy-release-migrations: the image contains no $folder" >&2
        exit 1
    }
done
rm -rf "$RELEASE_DIR/postgres" "$RELEASE_DIR/clickhouse"
cp -R "$shared/prisma/migrations" "$RELEASE_DIR/postgres"
cp -R "$shared/clickhouse/migrations" "$RELEASE_DIR/clickhouse"
