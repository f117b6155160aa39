#!/bin/sh
# Runs the arguments. The worker migrates nothing.

. ./probe/database-url.sh

exec "$@"
