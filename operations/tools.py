"""Finds the Pulumi CLI that the commands run: the one on PATH, else that of the sandbox, with its state."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from operations.errors import OperationError

SETTINGS: Final[Mapping[str, str]] = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # Without it, `preview --json` prints one document, without policy findings (sdk/go/common/env/env.go).
    "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",
}


@dataclass(frozen=True)
class Tools:
    """A Pulumi CLI and its environment."""

    pulumi: str
    environment: Mapping[str, str]
    sandbox: Path | None = None
    """The folder of the sandbox, if the CLI uses the state of the sandbox."""

    def stack_file(self, stack: str) -> Path | None:
        """The file that configures a stack, if it is not in `stacks/`.

        The sandbox uses a copy: the CLI writes the salt of the passphrase into the file that it reads.
        """
        return _copied(stack, self.sandbox) if self.sandbox else None


def find() -> Tools:
    """Find the Pulumi CLI.

    Raises:
        OperationError: There is none.
    """
    pulumi, environment = shutil.which("pulumi"), {**os.environ, **SETTINGS}
    backend = environment.get("PULUMI_BACKEND_URL", "")
    if pulumi and not backend.startswith("file:"):
        return Tools(pulumi, environment)
    from sandbox.folder import Folder  # noqa: PLC0415  # slow to import; most people have another backend

    folder = Folder()
    if pulumi:
        return Tools(pulumi, environment, folder.path if _location(backend) == _location(folder.backend_url) else None)
    if not folder.exists:
        raise OperationError(
            "there is no `pulumi` on PATH; install it (pulumi.com/docs/install), or run `make up`, which downloads one "
            "and deploys to a local control plane"
        )
    return _of_sandbox(folder.path, environment)


def _location(url: str) -> str:
    """The URL of a backend without its options."""
    return url.partition("?")[0]


def _of_sandbox(folder: Path, environment: Mapping[str, str]) -> Tools:
    from sandbox.controlplane import Sandbox  # noqa: PLC0415  # ditto

    environment = {**environment, **Sandbox(folder).environment()}
    return Tools(shutil.which("pulumi", path=environment["PATH"]) or "pulumi", environment, folder)


@cache
def _copied(stack: str, folder: Path) -> Path:
    from sandbox.controlplane import Sandbox  # noqa: PLC0415  # ditto
    from sandbox.deploy import stack_file  # noqa: PLC0415
    from sandbox.errors import SandboxError  # noqa: PLC0415

    sandbox = Sandbox(folder)
    try:
        return stack_file(stack, sandbox, {**os.environ, **sandbox.environment()})
    except SandboxError as error:
        raise OperationError(str(error)) from None
