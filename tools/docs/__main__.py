"""`python -m tools.docs` writes the generated pages, the schema of stack files, and the README's picture.

The picture is drawn from the stack `dev` in the sandbox.
"""

import json
import subprocess
import sys

from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from tools.docs import generated, picture

README = generated.ROOT / "README.md"


def main() -> None:
    """Write all generated files. Without a deployed stack `dev`, write all but the picture and report it."""
    written = generated.write()
    try:
        environment = Sandbox().environment()
    except SandboxError:
        print(f"wrote {written}; not the README's picture, which needs a deployed stack (`make up`)")  # noqa: T201
        return
    export = [str(Sandbox().folder.bin / "pulumi"), "stack", "export", "--stack", "dev"]
    state = subprocess.run(export, cwd=README.parent, env=environment, capture_output=True, text=True, check=False)
    if state.returncode:
        sys.exit(
            f"wrote {written}; cannot read the stack dev: run `make up`, then `make docs` again\n{state.stderr.strip()}"
        )
    drawn = picture.draw(json.loads(state.stdout)["deployment"]["resources"])
    README.write_text(picture.replace(README.read_text(), drawn))


if __name__ == "__main__":
    main()
