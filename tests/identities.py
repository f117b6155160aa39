"""What tells a resource that holds data from another one: its URN, its object, and the fields that can't be changed.

    python -m tests.identities

adds those of new resources to `tests/unit/identities.json`. Deployed stacks have what is listed there: with another URN
or another value of such a field, Pulumi replaces the resource, and its data is gone. To change one on purpose, remove
its entry, and tell in CHANGELOG.md how a deployed stack is moved.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from langfuse_policies.facts.data import holds_data
from langfuse_policies.testing import resource

from components.stores.object_store.bucket_rules import IDENTITY as BUCKET
from tests.unit.program import run
from tests.unit.recorder import Recording, Registration

FILE: Final = Path(__file__).parent / "unit/identities.json"

EXISTING: Final[Mapping[str, Any]] = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
BUCKETS: Final = {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")}
PASSWORD: Final = {"source": "existing", "secret": "postgres", "key": "password"}
STACKS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "operated": (
        "prod",
        {
            "postgres": {"mode": "cloudnativepg"},
            "credentials": {**EXISTING["credentials"], "values": {"postgresPassword": PASSWORD}},
            "objectStore": {"mode": "external", "region": "eu-central-1", "buckets": BUCKETS, "manageBuckets": True},
        },
    ),
    "external secrets": (
        "prod",
        {"credentials": {"source": "external-secrets", "secretStore": {"name": "vault"}}},
    ),
}

IMMUTABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "StatefulSet": ("selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"),
    "PersistentVolumeClaim": ("accessModes", "dataSource", "selector", "volumeMode", "volumeName"),
}
"""Fields of `spec` that Kubernetes does not change. The class of a volume is ignored, and its size may grow."""


def identities(recording: Recording) -> dict[str, Any]:
    """The fixed parts of each resource that holds data, and of the providers, by URN without stack and project."""
    return dict(sorted(_identities(recording)))


def _identities(recording: Recording) -> Iterator[tuple[str, Any]]:
    by_name = {item.name: item for item in recording if not item.custom}
    for item in recording:
        if item.type.startswith("pulumi:providers:"):
            yield _urn(item, by_name), {}
        elif item.custom and holds_data(resource(item.type, item.inputs, name=item.name)):
            yield _urn(item, by_name), _fixed(item)


def _urn(item: Registration, components: Mapping[str, Registration]) -> str:
    types, parent = [item.type], item.parent
    while parent in components:
        types.insert(0, components[parent].type)
        parent = components[parent].parent
    return f"{'$'.join(types)}::{item.name}"


def _fixed(item: Registration) -> dict[str, Any]:
    """The inputs that replace the resource when they change."""
    if not item.type.startswith("kubernetes:"):
        return {key: value for key, value in item.inputs.items() if item.kind != "Bucket" or key in BUCKET}
    metadata, spec = item.inputs["metadata"], item.inputs.get("spec", {})
    found = {key: spec[key] for key in IMMUTABLE.get(item.kind, ()) if key in spec}
    return {"object": f"{metadata.get('namespace', '')}/{metadata['name']}", **found}


def known() -> dict[str, dict[str, Any]]:
    """The listed identities of each stack."""
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text())
    return found


def add_new() -> None:
    """Add the resources that are not listed yet."""
    listed = known()
    found = {name: identities(run(stack, config)) | listed.get(name, {}) for name, (stack, config) in STACKS.items()}
    FILE.write_text(json.dumps({name: dict(sorted(each.items())) for name, each in found.items()}, indent=1) + "\n")


if __name__ == "__main__":
    add_new()
