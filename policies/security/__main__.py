"""The security pack."""

import sys
from pathlib import Path

from pulumi_policy import PolicyPack

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library is beside the packs

from langfuse_policies.packs import policies_of

PolicyPack(name="langfuse-security", policies=policies_of("security"))
