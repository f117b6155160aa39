"""Runs the stand-in whose module is the first argument; each plugin's shim calls this file by its path.

So no PYTHONPATH is needed, which the programs that the language host starts would inherit.
"""

import gc
import os
import runpy
import sys
from pathlib import Path

GARBAGE = 100_000
"""New objects after which garbage is looked for. By default it is 700: a tenth of the time that a start takes."""

EXPERIMENTS = "-event_engine_listener"
"""Without gRPC's own threads for sockets a call costs its server a third less; its maintainers name this switch for
problems with them (grpc/grpc, pull request 34100). It counts only before the library is loaded, and for what the
language host starts."""

if __name__ == "__main__":
    os.environ.setdefault("GRPC_EXPERIMENTS", EXPERIMENTS)
    gc.set_threshold(GARBAGE)
    module = sys.argv.pop(1)
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
