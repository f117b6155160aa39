#!/bin/sh
# Startup probe of Postgres with monitoring: succeeds when the server accepts connections, and creates the exporter's role.
#
# The role reads statistics and no data (postgresql.org/docs/current/predefined-roles.html, pg_monitor). The script also
# sets its password, so that a new one is in effect after the restart that it causes. If the role can't be created, the
# server starts nevertheless: an alert tells that the exporter can't connect.
#
# Environment: METRICS_ROLE, METRICS_PASSWORD and PGHOST (the directory of the socket).
set -eu

pg_isready --quiet --host 127.0.0.1 --timeout 2 || exit 1

# psql reads the password only from its environment, and the server writes no statement of this session to its log.
HOME=/tmp PGCONNECT_TIMEOUT=2 timeout 4 psql --no-psqlrc --quiet --username postgres --dbname postgres \
    --set ON_ERROR_STOP=1 --set "role=$METRICS_ROLE" << 'SQL' || echo "the role of the exporter could not be created" >&2
SET client_min_messages = warning;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET log_min_error_statement = panic;
\set password `printf %s "$METRICS_PASSWORD"`
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 5 PASSWORD :'password';
ALTER ROLE :"role" SET statement_timeout = '15s';
ALTER ROLE :"role" SET default_transaction_read_only = on;
GRANT pg_monitor TO :"role";
SQL
exit 0
