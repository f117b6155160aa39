"""What the configuration shares with the policies: parsers and tables of facts, kept in the library of the policies.

The policies are published without the rest of the project, so the shared code lies there.
"""

import sys
from pathlib import Path

_LIBRARY = str(Path(__file__).resolve().parents[2] / "policies")
if _LIBRARY not in sys.path:  # `pulumi up` runs the program with only the checkout on the path
    sys.path.append(_LIBRARY)

from langfuse_policies.facts import cron, data, store_releases  # noqa: E402
from langfuse_policies.facts.dns_servers import DNS_SERVERS, METADATA_SERVER  # noqa: E402
from langfuse_policies.facts.image_references import DIGEST  # noqa: E402
from langfuse_policies.facts.quantities import parse_quantity  # noqa: E402
from langfuse_policies.facts.resources import Resource  # noqa: E402

__all__ = ["DIGEST", "DNS_SERVERS", "METADATA_SERVER", "Resource", "cron", "data", "parse_quantity", "store_releases"]
