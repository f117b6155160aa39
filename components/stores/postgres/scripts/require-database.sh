#!/bin/sh
# Refuses an empty volume where a database was copied to, instead of creating an empty database there.
#
# Environment: that of initialize-postgres.sh, which runs next.
set -eu

[ -s "$PGDATA/PG_VERSION" ] || {
    echo "require-database: the volume has no database. Nothing was changed. Copy it with \
\`python -m operations upgrade-postgres\`; docs/runbooks/postgres-release.md describes the keys of the stack file" >&2
    exit 1
}
exec sh "${0%/*}/initialize-postgres.sh"
