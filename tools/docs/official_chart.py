"""`python -m tools.docs.official_chart RENDERED` counts the findings of the policies in the official Helm chart.

RENDERED is the output of:

    helm template langfuse langfuse/langfuse --version 2.0.0 --namespace langfuse --kube-version 1.36.0 \
        --api-versions clickhouse.com/v1alpha1/ClickHouseCluster \
        --api-versions clickhouse.com/v1alpha1/KeeperCluster

Policies on options of Pulumi are left out, because a manifest cannot have options. As Helm does, it sets the namespace.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.testing import judged, resources_of

CHART: Final = "2.0.0"
APPLICATION: Final = "4.4.0"
NAMESPACE: Final = "langfuse"
OF_PULUMI: Final = frozenset({"protect-namespaces", "protect-stores", "protect-buckets", "protect-credentials"})
"""Policies on options of Pulumi, which manifests do not have."""


def main(rendered: Path) -> None:
    """Write official-chart.json beside this module."""
    manifests: list[dict[str, Any]] = [one for one in yaml.safe_load_all(rendered.read_text()) if one]
    for manifest in manifests:
        manifest["metadata"].setdefault("namespace", NAMESPACE)
    resources = resources_of(yaml.safe_dump_all(manifests))
    policies = [policy for policy in POLICIES.values() if policy.id not in OF_PULUMI]
    findings = {policy.id: len(judged(policy, resources)) for policy in policies}
    result = {"chart": CHART, "application": APPLICATION, "objects": len(manifests), "findings": findings}
    (Path(__file__).parent / "official-chart.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
