"""Helpers for tests of policies, and for tests of stacks with the policies.

deployment = resource("kubernetes:apps/v1:Deployment", {"spec": {"template": UNKNOWN}})
assert paths(judged(POLICIES["no-privileged-container"], deployment)) == []

findings = judged_all(resources_of(Path("rendered.yaml").read_text()))
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from langfuse_policies.catalogue import POLICIES
from langfuse_policies.engine.policy import Finding, Policy
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import UNKNOWN, plain
from langfuse_policies.facts.resources import Resource, Stack

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first takes a tenth of the time, if libyaml is there

__all__ = ["UNKNOWN", "judged", "judged_all", "paths", "resource", "resources_of", "token_of", "unknown_paths"]

#: The key of a document for options of Pulumi and for types other than those of Kubernetes.
PULUMI_KEY = "x-pulumi"


def token_of(kind: str) -> str:
    """The type token of a kind: `kubernetes:apps/v1:Deployment` for `apps/Deployment`."""
    return f"kubernetes:{kind.replace('/', '/v1:')}"


def resource(
    type_token: str,
    props: Mapping[str, object],
    *,
    name: str = "test",
    stack: str = "prod",
    protect: bool = False,
    ignore_changes: Sequence[str] = (),
    parent: str = "",
) -> Resource:
    """Creates a resource; `UNKNOWN` stands for a value that is unknown in a preview."""
    return Resource(
        type=type_token,
        name=name,
        props=plain(props),
        urn=f"urn:pulumi:{stack}::test::{type_token}::{name}",
        protect=protect,
        ignore_changes=tuple(ignore_changes),
        parent=parent,
    )


def resources_of(manifests: str | Iterable[dict[str, Any]], stack: str = "prod") -> list[Resource]:
    """The resources of Kubernetes manifests: documents, or YAML with any number of them.

    A document may hold `x-pulumi` with `type`, `name`, `protect` and `ignoreChanges`.

    Raises:
        ValueError: A document has neither kind and apiVersion nor a Pulumi type.
    """
    documents = yaml.load_all(manifests, _LOADER) if isinstance(manifests, str) else manifests
    return [_of_manifest(document, stack) for document in documents if document]


def _of_manifest(document: dict[str, Any], stack: str) -> Resource:
    options = document.get(PULUMI_KEY, {})
    props = {key: value for key, value in document.items() if key != PULUMI_KEY}
    token = options.get("type")
    if token is None:
        if "kind" not in document or "apiVersion" not in document:
            raise ValueError(
                f"a document needs apiVersion and kind, or {PULUMI_KEY}.type; this one has {list(document)}"
            )
        version = document["apiVersion"]
        token = f"kubernetes:{version if '/' in version else f'core/{version}'}:{document['kind']}"
    name = options.get("name") or props.get("metadata", {}).get("name", "test")
    protect, ignored = options.get("protect", False), options.get("ignoreChanges", ())
    return resource(token, props, name=name, stack=stack, protect=protect, ignore_changes=ignored)


def judged(policy: Policy, subject: Resource | Iterable[Resource], settings: Settings | None = None) -> list[Finding]:
    """The findings of a policy in one resource, or, for a policy on stacks, in all of them together."""
    if policy.scope == "stack":
        return policy.on(Stack([subject] if isinstance(subject, Resource) else list(subject)), settings)
    each = [subject] if isinstance(subject, Resource) else subject
    return [one for one_resource in each for one in policy.on(one_resource, settings)]


def judged_all(
    resources: Sequence[Resource], policies: Iterable[Policy] = POLICIES.values()
) -> dict[str, list[Finding]]:
    """The findings by policy."""
    found = {policy.id: judged(policy, resources) for policy in policies}
    return {id: findings for id, findings in found.items() if findings}  # noqa: A001  # the policy's id


def paths(findings: Iterable[Finding]) -> list[str]:
    """The paths of findings."""
    return [finding.path for finding in findings]


def unknown_paths(policy: Policy, subject: Resource) -> set[str]:
    """The paths of unknown values that the policy reads."""
    subject.unknown_paths.clear()
    policy.on(subject)
    return set(subject.unknown_paths)
