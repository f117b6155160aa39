#!/bin/sh
# Copies the client of the object store and public CA certificates to CLIENT_DIR, for the container that backs up
# Postgres: it runs pg_dump and the client together, and each is in an image of its own.
set -eu

cp "$(command -v mc)" "$CLIENT_DIR/mc"
sh "${0%/*}/copy-ca-bundle.sh" "$CLIENT_DIR/ca-bundle.pem"
