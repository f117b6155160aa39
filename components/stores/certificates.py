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
    """A ConfigMap with every CA bundle, mounted for containers that connect to a store; nothing if there is none."""
    if not bundles:
        return ()
    scope = Scope(installation.workload("certificates", component="certificates"), opts)
    files = {f"{store}.pem": pem for store, pem in bundles.items()}
    bundle = config_map(scope, "ca-bundles", files)
    return (Mount.config("certificates", bundle.metadata.name, CERTIFICATES_PATH),)
