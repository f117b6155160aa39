#!/bin/sh
# Creates the application's role and its database in a new data directory; called by initialize-postgres.sh.
#
# The role owns its database and is not a superuser.
#
# Environment: APPLICATION_ROLE, APPLICATION_DATABASE and POSTGRES_PASSWORD.
set -eu

: "${POSTGRES_PASSWORD:?is not set: the password of the role}"

# psql reads the password only from its environment. (\getenv would need psql 15.)
psql --no-psqlrc --quiet --username postgres --dbname postgres \
    --set ON_ERROR_STOP=1 --set "role=$APPLICATION_ROLE" --set "database=$APPLICATION_DATABASE" <<'SQL'
\set password `printf %s "$POSTGRES_PASSWORD"`
CREATE ROLE :"role" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE DATABASE :"database" OWNER :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
SQL
echo "created role $APPLICATION_ROLE and database $APPLICATION_DATABASE"
