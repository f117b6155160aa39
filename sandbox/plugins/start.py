"""Runs the stand-in plugin whose module is the first argument. The shim of each plugin calls this file by its path.

This needs no PYTHONPATH, which the programs that the language host starts would inherit, and no environment that
`make` has created: one by pip, as in docs/getting-started.md, does not know the folder of the policies.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    module = sys.argv.pop(1)
    checkout = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(checkout), str(checkout / "policies")]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
