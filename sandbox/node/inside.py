"""What the sandbox's commands do inside the namespaces of a node: `python -m sandbox.node.inside start|stop|status`."""

from __future__ import annotations

import sys

from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError


def main() -> None:
    """Run one command."""
    sandbox = Sandbox()
    try:
        match sys.argv[1]:
            case "start":
                sandbox.start()
            case "stop":
                sandbox.stop()
            case "status":
                sys.stdout.write(sandbox.status().as_json())
    except SandboxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
