"""Starts `pulumi.dynamic` with the program's interpreter.

The engine passes the runtime options of Pulumi.yaml as PULUMI_RUNTIME_* variables.
"""

import os
import sys
from typing import NoReturn

from sandbox.plugins.errors import PluginError
from sandbox.plugins.language_python import toolchain


def main() -> NoReturn:
    """Replace this process with the provider; exit with one error if the interpreter is missing."""
    here = os.getcwd()
    options = {
        name: os.environ[f"PULUMI_RUNTIME_{name.upper()}"]
        for name in ("toolchain", "virtualenv")
        if f"PULUMI_RUNTIME_{name.upper()}" in os.environ
    }
    try:
        tools = toolchain.resolve(here, here, options)
        python = str(tools.python())
    except PluginError as error:
        sys.exit(error.message)
    environment = tools.environment(os.environ)
    words = [python, "-u", "-m", "pulumi.dynamic", *sys.argv[1:]]
    os.execve(python, words, environment)  # noqa: S606  # no shell is needed


if __name__ == "__main__":
    main()
