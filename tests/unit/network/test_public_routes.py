"""docs/public-routes.md matches what the program renders, and its example complies with the policies."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.testing import judged, resource

from components.network.ingress import FILE_POLICY
from tests.unit.program import recorded

PAGE = (Path(__file__).parents[3] / "docs" / "public-routes.md").read_text()
OWN_ROUTE = {"ingress": {"kind": "none", "bucketHost": "langfuse.example.com"}, "host": "langfuse.example.com"}


def example() -> dict[str, Any]:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    route: dict[str, Any] = yaml.safe_load(text)
    return route


def operations(rule: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The header operations of a rule of the example, as in a VirtualService."""
    found: dict[str, dict[str, Any]] = {}
    for item in rule["filters"]:
        (direction,) = [name for name in ("request", "response") if f"{name}HeaderModifier" in item]
        modifier = item[f"{direction}HeaderModifier"]
        found[direction] = {
            how: [name.lower() for name in value]
            if how == "remove"
            else {pair["name"].lower(): pair["value"] for pair in value}
            for how, value in modifier.items()
        }
    return found


def test_the_example_of_a_custom_route_matches_the_virtual_service() -> None:
    internal, files, pages = example()["spec"]["rules"]
    rendered = {route["name"]: route for route in recorded("prod").one("VirtualService").inputs["spec"]["http"]}
    prefixes = {match["path"]["value"] for match in internal["matches"]}
    assert "backendRefs" not in internal
    assert prefixes == {match["uri"]["exact"] for match in rendered["internal"]["match"] if "exact" in match["uri"]}
    assert {match["path"]["value"] for match in files["matches"]} == {
        match["uri"]["prefix"] for match in rendered["buckets"]["match"]
    }
    wanted = copy.deepcopy(rendered["buckets"]["headers"])
    del wanted["response"]["set"]["strict-transport-security"]  # pages of the same host already send it
    assert operations(files) == wanted
    assert operations(pages) == rendered["web"]["headers"]


def test_the_table_of_headers_matches_the_routes() -> None:
    (value,) = re.findall(r"\| `Content-Security-Policy` \| `(.*?)` \|", PAGE)
    assert value == FILE_POLICY


def test_the_policies_accept_the_example_and_report_missing_headers() -> None:
    stack = [resource(item.type, item.inputs, name=item.name) for item in recorded("prod", OWN_ROUTE) if item.custom]

    def found(route: dict[str, Any]) -> set[str]:
        with_it = [*stack, resource("kubernetes:gateway.networking.k8s.io/v1:HTTPRoute", route)]
        return {id_ for id_ in ("stored-files-are-inert", "csp-enforces-https") if judged(POLICIES[id_], with_it)}

    assert found(example()) == set()
    bare = example()
    for rule in bare["spec"]["rules"]:
        rule.pop("filters", None)
    assert found(bare) == {"stored-files-are-inert", "csp-enforces-https"}
