"""docs/public-routes.md matches what the program renders, and the policies accept the routes of every kind."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from langfuse_policies.catalogue import POLICIES
from langfuse_policies.testing import judged, resource

from components.network.ingress.controllers import CONTROLLERS
from components.network.ingress.rules import FILE_POLICY
from components.schema.ingress import GatewayApiIngress, IstioIngress, KubernetesIngress, NoIngress
from components.settings.load import parse
from tests.unit.program import recorded

PAGE = (Path(__file__).parents[3] / "docs" / "public-routes.md").read_text()
KINDS: Mapping[str, Mapping[str, object]] = {
    "istio": {"kind": "istio"},
    "gateway-api": {"kind": "gateway-api", "gateway": "gateways/public"},
    "nginx": {"kind": "ingress", "controller": "nginx"},
    "traefik": {"kind": "ingress", "controller": "traefik"},
}
POLICIES_OF_ROUTES = (
    "stored-files-are-inert",
    "csp-enforces-https",
    "no-public-admin-api",
    "browsers-stay-with-https",
    "https-only",
    "hosts-by-name",
)


def test_the_table_of_headers_matches_the_routes() -> None:
    (value,) = re.findall(r"\| `Content-Security-Policy` \| `(.*?)` \|", PAGE)
    assert value == FILE_POLICY


def test_every_kind_and_controller_has_a_place() -> None:
    for model in (IstioIngress, GatewayApiIngress, KubernetesIngress, NoIngress):
        (kind,) = get_args(model.model_fields["kind"].annotation)
        assert f"| `{kind}`" in PAGE
    assert set(get_args(KubernetesIngress.model_fields["controller"].annotation)) == set(CONTROLLERS)
    for name in CONTROLLERS:
        assert f"| `{name}`" in PAGE


def test_the_examples_are_valid() -> None:
    for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        config = {key.removeprefix("langfuse:"): value for key, value in yaml.safe_load(text).items()}
        url = config["ingress"].get("publicUrl")
        parse("dev", config if url else {"host": "langfuse.example.com", **config})


def found(kind: str, without: str = "") -> set[str]:
    """The policies that the routes of a kind break, without objects of a type."""
    stack = [
        resource(item.type, item.inputs, name=item.name)
        for item in recorded("prod", {"ingress": KINDS[kind]})
        if item.custom and not (without and item.kind == without and item.name != "langfuse")
    ]
    return {id_ for id_ in POLICIES_OF_ROUTES if judged(POLICIES[id_], stack)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_policies_accept_the_routes_of_every_kind(kind: str) -> None:
    assert found(kind) == set()


@pytest.mark.parametrize(
    ("kind", "without", "broken"),
    [
        ("nginx", "ConfigMap", "stored-files-are-inert"),
        ("nginx", "Ingress", "no-public-admin-api"),
        ("traefik", "Middleware", "stored-files-are-inert"),
        ("traefik", "Middleware", "no-public-admin-api"),
    ],
)
def test_the_policies_read_what_annotations_refer_to(kind: str, without: str, broken: str) -> None:
    assert broken in found(kind, without)


@pytest.mark.parametrize(("part", "broken"), [(0, "no-public-admin-api"), (1, "stored-files-are-inert")])
def test_the_policies_read_the_rules_of_an_http_route(part: int, broken: str) -> None:
    stack = []
    for item in recorded("prod", {"ingress": KINDS["gateway-api"]}):
        inputs: dict[str, Any] = item.inputs
        if item.kind == "HTTPRoute":
            rules = [dict(rule) for rule in inputs["spec"]["rules"]]
            if part == 0:
                del rules[0]
            else:
                rules[1].pop("filters")
            inputs = {**inputs, "spec": {**inputs["spec"], "rules": rules}}
        if item.custom:
            stack.append(resource(item.type, inputs, name=item.name))
    assert judged(POLICIES[broken], stack)
