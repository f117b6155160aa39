"""Prepares the process of the Pulumi program, before anything else is imported."""

import atexit
import gc
import os
import signal

SHOWN_TO_USER = 32
"""The exit code after an error that was already shown (sdk/python/cmd/pulumi-language-python/main.go)."""


def prepare_process() -> None:
    """Exit quietly on an interrupt, and turn off garbage collection.

    The language host interrupts the program when an update is cancelled or has failed. The engine reports the reason;
    without a handler, an interrupted import would add a traceback.

    The process lives for seconds and keeps nearly everything that it allocates. Without garbage collection a preview of
    prod takes 13 % less CPU time in total (5.7 s instead of 6.6 s, median of 7 runs that took turns): half of it while
    the program runs, half when the interpreter exits and would collect once more, which `gc.freeze` prevents.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(SHOWN_TO_USER))
    gc.disable()
    atexit.register(gc.freeze)
