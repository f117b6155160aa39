#!/bin/sh
# Copies rclone, the client of the object store, and public CA certificates to CLIENT_DIR, for a container with the image of
# Postgres: it runs the programs of Postgres and the client together.
set -eu

cp "$(command -v rclone)" "$CLIENT_DIR/rclone"
sh "${0%/*}/copy-ca-bundle.sh" "$CLIENT_DIR/ca-bundle.pem"
