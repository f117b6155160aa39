"""One stack: the settings of an environment in, an installation of Langfuse out."""

import pulumi

from components.langfuse import Langfuse
from components.settings import load

langfuse = Langfuse("langfuse", load())

for name, value in langfuse.outputs.items():
    pulumi.export(name, value)
