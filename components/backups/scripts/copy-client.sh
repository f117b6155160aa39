#!/bin/sh
# Copies the object store's client and the certificates of public authorities to CLIENT_DIR, for the container that
# dumps a database: it has to run two programs at once, which come in different images.
set -eu

cp "$(command -v mc)" "$CLIENT_DIR/mc"
sh "${0%/*}/copy-ca-bundle.sh" "$CLIENT_DIR/ca-bundle.pem"
