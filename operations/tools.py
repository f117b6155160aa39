"""Which `pulumi` the commands run: the one on PATH, else the one of the sandbox, with the sandbox's own state."""

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
    # Else `preview --json` prints one document, without what policies found (sdk/go/common/env/env.go).
    "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",
}


@dataclass(frozen=True)
class Tools:
    """A `pulumi` and the environment that it runs in."""

    pulumi: str
    environment: Mapping[str, str]
    sandbox: Path | None = None
    """The folder of the sandbox, if its state is the one that `pulumi` works on."""

    def stack_file(self, stack: str) -> Path | None:
        """The file that configures a stack, if it is not the one in `stacks/`.

        In the sandbox it is a copy: the CLI writes the salt of the passphrase into the file that it reads.
        """
        return _copied(stack, self.sandbox) if self.sandbox else None


def find() -> Tools:
    """Find `pulumi`.

    Raises:
        OperationError: There is none.
    """
    pulumi, environment = shutil.which("pulumi"), {**os.environ, **SETTINGS}
    backend = environment.get("PULUMI_BACKEND_URL", "")
    if pulumi and not backend.startswith("file:"):
        return Tools(pulumi, environment)
    from sandbox.folder import Folder  # noqa: PLC0415  # takes a moment, and most people have another backend

    folder = Folder()
    if pulumi:
        return Tools(pulumi, environment, folder.path if backend == f"file://{folder.backend}" else None)
    if not folder.exists:
        raise OperationError(
            "there is no `pulumi` on PATH: install it (pulumi.com/docs/install), or run `make up`, which gets one and "
            "deploys to a local control plane"
        )
    return _of_sandbox(folder.path, environment)


def _of_sandbox(folder: Path, environment: Mapping[str, str]) -> Tools:
    from sandbox.controlplane import Sandbox  # noqa: PLC0415  # as above

    environment = {**environment, **Sandbox(folder).environment()}
    return Tools(shutil.which("pulumi", path=environment["PATH"]) or "pulumi", environment, folder)


@cache
def _copied(stack: str, folder: Path) -> Path:
    from sandbox.controlplane import Sandbox  # noqa: PLC0415  # as above
    from sandbox.deploy import stack_file  # noqa: PLC0415
    from sandbox.errors import SandboxError  # noqa: PLC0415

    sandbox = Sandbox(folder)
    try:
        return stack_file(stack, sandbox, {**os.environ, **sandbox.environment()})
    except SandboxError as error:
        raise OperationError(str(error)) from None
