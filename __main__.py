"""One stack: the settings of an environment in, an installation of Langfuse out."""

import atexit
import gc
import os
import signal

# The language host interrupts the program when an update is cancelled or has failed; the engine tells why. 32 is the
# host's code for "the user has seen the error" (sdk/python/cmd/pulumi-language-python/main.go). Before any import: one
# that is interrupted would end in a traceback.
signal.signal(signal.SIGINT, lambda *_: os._exit(32))

# The process lives for seconds and keeps what it makes. To look for garbage takes a fifth of its time, and half a
# second more when the interpreter ends.
gc.disable()
atexit.register(gc.freeze)

import pulumi

from components.langfuse import Langfuse
from components.settings import kubeconfig
from components.settings.load import load

settings = load()
kubeconfig.check(settings.cluster, needed=not pulumi.runtime.is_dry_run())
langfuse = Langfuse("langfuse", settings)

for name, value in langfuse.outputs.items():
    pulumi.export(name, value)
