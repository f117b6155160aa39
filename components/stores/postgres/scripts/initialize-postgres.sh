#!/bin/sh
# Runs before every start of the server. Makes the data directory where there is none yet: in a directory beside it that
# is renamed once role and database are in it, so that a start that was killed half way leaves nothing that looks like a
# database. Refuses a data directory of another major release. Deletes nothing but what such a start left unfinished.
# Reads PGDATA, PGHOST (a directory for the socket), POSTGRES_INITDB_ARGS and what create-database.sh reads.
set -eu

fail() {
    echo "initialize-postgres: $1" >&2
    exit 1
}

release=$(postgres --version)
release=${release#*) }
release=${release%% *}
major=${release%%.*}
unfinished="$PGDATA.unfinished"

# Objects that somebody makes have numbers from 16384 on (FirstNormalObjectId in src/include/access/transam.h): here the
# role, the database, and then what Langfuse makes. The server's control file has the next one.
first_own=16384

# Whether nothing was ever made in PGDATA: no database, no tablespace, and by the control file, if there is one, no more
# than the role.
was_never_used() {
    for folder in "$PGDATA" "$PGDATA/base" "$PGDATA/global" "$PGDATA/pg_tblspc"; do
        [ ! -e "$folder" ] || { [ -r "$folder" ] && [ -x "$folder" ]; } || fail "user $(id -u) can't read $folder"
    done
    for folder in "$PGDATA"/base/*; do
        number=${folder##*/}
        case $number in
            *[!0-9]*) ;;
            *) [ "$number" -lt "$first_own" ] || return 1 ;;
        esac
    done
    [ -z "$(ls -A "$PGDATA/pg_tblspc" 2> /dev/null)" ] || return 1
    [ -e "$PGDATA/global/pg_control" ] || return 0
    [ "$(cat "$PGDATA/PG_VERSION")" = "$major" ] || return 1
    control=$(LC_ALL=C pg_controldata "$PGDATA") || return 1
    next=${control#*"Latest checkpoint's NextOID:"}
    next=${next%%[!0-9 ]*}
    case $control in
        *'state: '*' shut down'*) limit=$((first_own + 2)) ;; # role and database
        *) limit=$((first_own + 8191)) ;; # a server that runs has 8192 numbers in hand, from initdb's own on
    esac
    [ -n "$next" ] && [ "$next" -le "$limit" ]
}

# Earlier releases of this program made the data directory in place.
if [ -e "$PGDATA" ] && was_never_used; then
    aside="$PGDATA.never-used-$(date -u +%Y-%m-%dT%H-%M-%SZ)"
    echo "$PGDATA was begun and never finished: nothing was ever stored in it. It is kept as $aside"
    mv "$PGDATA" "$aside"
fi

if [ -e "$PGDATA" ]; then
    [ -s "$PGDATA/PG_VERSION" ] || fail "$PGDATA holds databases and no PG_VERSION: it is damaged. Nothing was changed. \
Restore a backup"
    found=$(cat "$PGDATA/PG_VERSION")
    [ "$found" = "$major" ] || fail "the data directory is of Postgres $found, which Postgres $release can't read. Nothing \
was changed. Set langfuse:postgres.version to a release of $found; docs/runbooks/postgres-release.md says how to go to \
another"
    chmod 0700 "$PGDATA"
    echo "the data directory is of Postgres $found"
    exit 0
fi

rm -rf "$unfinished"
echo "making the data directory of Postgres $release"
set -f
# shellcheck disable=SC2086  # several options
initdb --pgdata="$unfinished" --username=postgres --auth-local=trust --auth-host=reject $POSTGRES_INITDB_ARGS ||
    fail "the image's initdb failed: docs/images.md says what an image of Postgres must have"
set +f
pg_ctl --pgdata="$unfinished" --silent --wait start \
    --options="-c listen_addresses='' -c unix_socket_directories='$PGHOST' -c password_encryption=scram-sha-256"
sh "${0%/*}/create-database.sh"
pg_ctl --pgdata="$unfinished" --silent --wait --mode=fast stop
mv "$unfinished" "$PGDATA"
sync "${PGDATA%/*}"
echo "the data directory is ready"
