"""The pack that the engine starts."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the library lies beside the packs

from langfuse_policies.server import serve

serve("reliability")
