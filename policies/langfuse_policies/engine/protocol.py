"""The messages between the engine and a policy pack (pulumi/analyzer.proto), without Pulumi's SDK around them.

Importing `pulumi.runtime.proto` imports the whole SDK first, and every preview waits for the packs. At run time this
module is a package whose modules are the SDK's own files; type checkers see the SDK's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pulumi.runtime.proto import analyzer_pb2, plugin_pb2

    __all__ = ["analyzer_pb2", "plugin_pb2"]
else:
    from importlib.util import find_spec
    from pathlib import Path

    __path__ = [str(Path(find_spec("pulumi").origin).parent / "runtime" / "proto")]
