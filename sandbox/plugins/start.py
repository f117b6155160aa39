"""Runs the stand-in plugin whose module is the first argument. The shim of each plugin calls this file by its path.

This needs no PYTHONPATH, which the programs that the language host starts would inherit.
"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    module = sys.argv.pop(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
