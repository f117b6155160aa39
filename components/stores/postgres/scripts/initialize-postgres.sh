#!/bin/sh
# Creates the data directory of Postgres if it does not exist, before each start of the server.
#
# It is created under another name, and renamed when it contains the role and the database. So an interrupted first
# start never leaves a directory that looks like a database. The script fails if the data directory belongs to another
# major release. It deletes nothing except the unfinished directory of an interrupted first start.
#
# Environment: PGDATA, PGHOST (a directory for the socket), POSTGRES_INITDB_ARGS, and that of create-database.sh.
set -eu

fail() {
    echo "initialize-postgres: $1" >&2
    exit 1
}

# initdb refuses a user without a name, and a cluster may assign any user. Then the library that the official image has
# for this (libnss_wrapper) supplies the name, as in the image's entrypoint.
if ! id -un > /dev/null 2>&1; then
    for library in /usr/lib/*/libnss_wrapper.so /usr/lib/libnss_wrapper.so; do
        [ -s "$library" ] || continue
        NSS_WRAPPER_PASSWD=/tmp/passwd NSS_WRAPPER_GROUP=/tmp/group
        printf 'postgres:x:%s:%s::%s:/bin/false\n' "$(id -u)" "$(id -g)" "$PGDATA" > "$NSS_WRAPPER_PASSWD"
        printf 'postgres:x:%s:\n' "$(id -g)" > "$NSS_WRAPPER_GROUP"
        LD_PRELOAD=$library
        export NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD
        break
    done
fi

release=$(postgres --version)
release=${release#*) }
release=${release%% *}
major=${release%%.*}
unfinished="$PGDATA.unfinished"

# Objects that users create have OIDs from 16384 (FirstNormalObjectId in src/include/access/transam.h): here the role,
# the database, and then the objects of Langfuse. The control file of the server contains the next OID.
first_user_oid=16384

# Succeeds if nothing was ever stored in PGDATA: it contains no database and no tablespace, and according to the control
# file, if it exists, at most the role and the database were created.
was_never_used() {
    for folder in "$PGDATA" "$PGDATA/base" "$PGDATA/global" "$PGDATA/pg_tblspc"; do
        [ ! -e "$folder" ] || { [ -r "$folder" ] && [ -x "$folder" ]; } || fail "user $(id -u) can't read $folder"
    done
    for folder in "$PGDATA"/base/*; do
        number=${folder##*/}
        case $number in
            *[!0-9]*) ;;
            *) [ "$number" -lt "$first_user_oid" ] || return 1 ;;
        esac
    done
    [ -z "$(ls -A "$PGDATA/pg_tblspc" 2> /dev/null)" ] || return 1
    [ -s "$PGDATA/global/pg_control" ] || return 0 # also if initdb was killed before it wrote to the new file
    [ "$(cat "$PGDATA/PG_VERSION")" = "$major" ] || return 1
    control=$(LC_ALL=C pg_controldata "$PGDATA") || return 1
    next=${control#*"Latest checkpoint's NextOID:"}
    next=${next%%[!0-9 ]*}
    case $control in
        *'state: '*' shut down'*) limit=$((first_user_oid + 2)) ;; # role and database
        *) limit=$((first_user_oid + 8191)) ;; # a running server reserves 8192 OIDs, counted from those of initdb
    esac
    [ -n "$next" ] && [ "$next" -le "$limit" ]
}

# Earlier versions of this program created the data directory under its final name.
if [ -e "$PGDATA" ] && was_never_used; then
    unused="$PGDATA.never-used-$(date -u +%Y-%m-%dT%H-%M-%SZ)"
    echo "$PGDATA was never finished, and nothing was stored in it: it is renamed to $unused"
    mv "$PGDATA" "$unused"
fi

if [ -e "$PGDATA" ]; then
    [ -s "$PGDATA/PG_VERSION" ] || fail "$PGDATA contains databases but no PG_VERSION: it is damaged. Nothing was \
changed. Restore a backup"
    found=$(cat "$PGDATA/PG_VERSION")
    [ "$found" = "$major" ] || fail "the data directory belongs to Postgres $found, which Postgres $release can't \
read. Nothing was changed. Set langfuse:postgres.version to a release of $found; docs/runbooks/postgres-release.md \
describes how to change to another one"
    chmod 0700 "$PGDATA"
    echo "the data directory belongs to Postgres $found"
    exit 0
fi

rm -rf "$unfinished"
echo "creating the data directory of Postgres $release"
set -f
# shellcheck disable=SC2086  # several options
initdb --pgdata="$unfinished" --username=postgres --auth-local=trust --auth-host=reject $POSTGRES_INITDB_ARGS ||
    fail "initdb failed: see docs/images.md for the requirements of a Postgres image"
set +f
pg_ctl --pgdata="$unfinished" --silent --wait start \
    --options="-c listen_addresses='' -c unix_socket_directories='$PGHOST' -c password_encryption=scram-sha-256"
sh "${0%/*}/create-database.sh"
pg_ctl --pgdata="$unfinished" --silent --wait --mode=fast stop
mv "$unfinished" "$PGDATA"
sync "${PGDATA%/*}"
echo "the data directory is ready"
