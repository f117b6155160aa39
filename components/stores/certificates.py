"""CA bundles that verify the certificates of external stores."""

from collections.abc import Mapping, Sequence

import pulumi

from components.kubernetes.installation import Installation
from components.kubernetes.objects import Scope, config_map
from components.kubernetes.pods import Mount
from components.stores.contract import CERTIFICATES_PATH


def ca_bundle_mounts(
    installation: Installation, bundles: Mapping[str, str], opts: pulumi.ResourceOptions
) -> Sequence[Mount]:
    """The mount of a ConfigMap with all CA bundles, for containers that connect to a store; none without a bundle."""
    if not bundles:
        return ()
    scope = Scope(installation.workload("certificates", component="certificates"), opts)
    files = {f"{store}.pem": pem for store, pem in bundles.items()}
    bundle = config_map(scope, "ca-bundles", files)
    return (Mount.config("certificates", bundle.metadata.name, CERTIFICATES_PATH),)
