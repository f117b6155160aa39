#!/bin/sh
# Resolves the dependencies in pyproject.toml for every supported Python and system and locks them with their hashes.
set -eu
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
        --no-emit-find-links "$@"
}
compile pyproject.toml --output-file requirements.txt
compile pyproject.toml --constraint requirements.txt --group dev --output-file requirements-dev.txt
compile --group judges --output-file requirements-judges.txt
compile --group clients --output-file requirements-clients.txt
echo uv | compile - --output-file requirements-uv.txt
