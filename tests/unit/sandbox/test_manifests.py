from __future__ import annotations

from typing import Any

from sandbox.manifests import served, without_descriptions

SCHEMA = {
    "description": "prose",
    "properties": {
        "description": {"type": "string", "description": "a field of this name"},
        "host": {"type": "string"},
    },
}


def crd() -> dict[str, Any]:
    versions = [
        {"name": "v1", "served": True, "schema": {"openAPIV3Schema": SCHEMA}},
        {"name": "v1beta1", "served": False, "schema": {"openAPIV3Schema": SCHEMA}},
    ]
    spec = {"group": "example.org", "names": {"plural": "things"}, "versions": versions}
    return {"kind": "CustomResourceDefinition", "spec": spec, "status": {"conditions": []}}


def test_descriptions_are_removed_but_fields_named_description_stay() -> None:
    found = without_descriptions(crd())
    schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema == {"properties": {"description": {"type": "string"}, "host": {"type": "string"}}}
    assert "status" not in found


def test_only_served_versions_are_listed() -> None:
    assert list(served([crd()])) == [("example.org", "v1", "things")]
