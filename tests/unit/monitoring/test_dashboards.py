"""The dashboard: a query in each panel that Prometheus can parse, of metrics that are read."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.monitoring.dashboards import operator_dashboard
from sandbox.toolchain import PROMTOOL, ensure_tool
from tests.unit.configuration import settings
from tests.unit.program import recorded

CONFIGURATIONS: tuple[dict[str, object], ...] = ({}, {"postgres": {"mode": "cloudnativepg"}})


def dashboards() -> list[dict[str, Any]]:
    return [json.loads(operator_dashboard(settings({"monitoring": {}, **more}))) for more in CONFIGURATIONS]


@pytest.mark.long  # builds promtool
def test_prometheus_can_parse_every_query(tmp_path: Path) -> None:
    expressions = [panel["targets"][0]["expr"] for one in dashboards() for panel in one["panels"]]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    command: list[str | Path] = [ensure_tool(PROMTOOL), "check", "rules", tmp_path / "rules.json"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_panels_fill_the_rows_and_overlap_nowhere() -> None:
    for dashboard in dashboards():
        places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in dashboard["panels"]]
        assert len({*places}) == len(places)
        assert all(x + one["gridPos"]["w"] <= 24 for (x, _), one in zip(places, dashboard["panels"], strict=True))
        assert len({one["id"] for one in dashboard["panels"]}) == len(places)
        assert all('namespace="langfuse-dev"' in one["targets"][0]["expr"] for one in dashboard["panels"])


def test_the_sidecar_of_grafana_finds_it_by_its_label() -> None:
    found = recorded("dev", {"monitoring": {}}).one("ConfigMap", "langfuse-metrics-dashboard").inputs
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    (content,) = found["data"].values()
    assert json.loads(content)["links"][0]["url"] == "https://dev.example.com"
    off = recorded("dev", {"monitoring": {"dashboard": False}})
    assert "langfuse-metrics-dashboard" not in {item.name for item in off.of("ConfigMap")}
