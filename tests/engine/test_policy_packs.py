"""The packs in the engine: what they say of a program, and what they change in it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.engine.conftest import ProgramFactory
from tests.engine.harness import CHECKOUT, Result

POLICY = "namespace-enforces-restricted"
LABEL = "pod-security.kubernetes.io/enforce"
PROGRAM = "import pulumi_kubernetes as k8s; k8s.core.v1.Namespace('shop', metadata={'name': 'shop'})"


def test_a_missing_label_is_refused_or_added_as_configured(program: ProgramFactory, tmp_path: Path) -> None:
    namespace, config = program(PROGRAM), tmp_path / "levels.json"

    def preview(level: str) -> Result:
        config.write_text(json.dumps({"all": "disabled", POLICY: level}))
        pack = CHECKOUT / "policies" / "security"
        return namespace.preview("--policy-pack", str(pack), "--policy-pack-config", str(config))

    refused = preview("mandatory")
    assert refused.exit_code != 0
    assert POLICY in refused.output
    assert "Unknown experiment" not in refused.output  # gRPC, of what its server is told

    (shop,) = (step for step in preview("remediate").ok().steps if step.name == "shop")
    assert shop.inputs["metadata"]["labels"] == {LABEL: "restricted"}
