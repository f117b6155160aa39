"""The pack that the engine starts."""

import gc
import os
import signal
import sys
from pathlib import Path

signal.signal(signal.SIGINT, lambda *_: os._exit(0))  # the engine has been cancelled: there is nothing to tell
gc.disable()  # a pack ends with the run: looking for garbage would only cost time
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the library lies beside the packs

from langfuse_policies.engine.server import serve

serve("security")
