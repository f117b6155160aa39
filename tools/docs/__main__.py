"""`python -m tools.docs`: writes what is generated from the configuration's models, and the README's picture.

The picture is drawn from the stack `dev` of the sandbox.
"""

import json
import subprocess
import sys

from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from tools.docs import generated, picture

README = generated.ROOT / "README.md"


def main() -> None:
    """Write what can be written; tell what is missing for the rest."""
    written = generated.write()
    try:
        environment = Sandbox().environment()
    except SandboxError:
        sys.exit(f"wrote {written}; the README's picture is drawn from a deployed stack: run `make up` first")
    export = [str(Sandbox().folder.bin / "pulumi"), "stack", "export", "--stack", "dev"]
    state = subprocess.run(export, cwd=README.parent, env=environment, capture_output=True, text=True, check=False)
    if state.returncode:
        sys.exit(f"wrote {written}; the stack dev can't be read, run `make up` first:\n{state.stderr.strip()}")
    drawn = picture.draw(json.loads(state.stdout)["deployment"]["resources"])
    README.write_text(picture.replace(README.read_text(), drawn))


if __name__ == "__main__":
    main()
