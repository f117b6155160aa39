"""A key service for the secrets of the tests' stacks, which the CLI uses as it uses Vault: `hashivault://tests`.

From a passphrase the CLI derives a key in every command, which takes a fifth of a second of CPU time (a million rounds
of PBKDF2: `NewSymmetricCrypterFromPassphrase` in sdk/go/common/resource/config/crypt.go). The stacks that the sandbox
deploys have a passphrase nevertheless.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tests.http_server import QuietHandler, http_server

PROVIDER: Final = "hashivault://tests"
"""The secrets provider of a stack."""

VARIABLES: Final = ("VAULT_SERVER_URL", "VAULT_SERVER_TOKEN")
"""Where the CLI finds the service (gocloud.dev/secrets/hashivault)."""

MARK: Final = "vault:v1:"
"""What each ciphertext of Vault begins with."""


class _Transit(QuietHandler):
    """Vault's transit engine, with a key that changes nothing: it would guard the data keys of tests."""

    def do_PUT(self) -> None:  # noqa: N802  # named by the library
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "plaintext" in content:
            data = {"ciphertext": MARK + content["plaintext"]}
        else:
            data = {"plaintext": content["ciphertext"].removeprefix(MARK)}
        answer = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def vault() -> Iterator[Mapping[str, str]]:
    """Run the service until the end of the block. Yields the variables for the CLI."""
    with http_server(_Transit) as port:
        yield dict(zip(VARIABLES, (f"http://127.0.0.1:{port}", "tests"), strict=True))


def variables() -> Mapping[str, str]:
    """The variables for the CLI."""
    return {name: os.environ[name] for name in VARIABLES}
