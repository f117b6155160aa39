"""The policies of the two packs, as `policies/security` and `policies/reliability` hand them to Pulumi."""

import datetime
import gc
import os
from pathlib import Path

import pulumi_policy

from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.packs import pack_policies
from langfuse_policies.engine.policy import PackName

#: Names the file of waivers. Without it, the file is beside the folders of the packs.
WAIVERS_VARIABLE = "LANGFUSE_POLICIES_WAIVERS"
_WAIVERS = Path("../waivers.yaml")


def policies_of(pack: PackName) -> list[pulumi_policy.Policy]:
    """Returns the policies of a pack. The working folder is the one of the pack."""
    _keep_modules()
    waivers = Path(os.environ.get(WAIVERS_VARIABLE, _WAIVERS))
    return pack_policies(pack, POLICIES, waivers, datetime.datetime.now(datetime.UTC).date())


def _keep_modules() -> None:
    """Excludes what is imported from garbage collection, which otherwise takes 0.1 s in the middle of a preview."""
    gc.freeze()
