#!/bin/sh
# Copies the image's bundle of public CA certificates to a file, for a container whose image has none. Adds the private
# CAs of langfuse:network.ca, if they are mounted.
#
# Usage: copy-ca-bundle.sh FILE. Called by other scripts.
set -eu

# Paths in the common distributions (crypto/x509/root_linux.go in Go's library).
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem \
    /etc/pki/tls/cacert.pem /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -s "$bundle" ]; then
        cp "$bundle" "$1"
        break
    fi
done
if [ ! -s "$1" ]; then
    echo "copy-ca-bundle: the image has no public CA certificates" >&2
    : > "$1"
fi
private=/etc/langfuse/trusted/ca.pem
[ ! -s "$private" ] || cat "$private" >> "$1"
