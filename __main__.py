"""One stack: the settings of an environment in, an installation of Langfuse out."""

import atexit
import gc

import pulumi

from components.langfuse import Langfuse
from components.settings import load

# At its end the interpreter would look through everything for half a second, to free the memory of a process that ends.
atexit.register(gc.freeze)

langfuse = Langfuse("langfuse", load())

for name, value in langfuse.outputs.items():
    pulumi.export(name, value)
