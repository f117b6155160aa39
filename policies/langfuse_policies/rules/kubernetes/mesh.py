"""Mesh: encryption and authorization between pods in Istio, with sidecars or ambient."""

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.mesh import meshed
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.selectors import labels_of

topic = Topic("mesh", title="Mesh", pack="security")

_PEER_AUTHENTICATION = "security.istio.io/PeerAuthentication"
_AUTHORIZATION = "security.istio.io/AuthorizationPolicy"


class Root(Settings):
    """Where Istio is installed."""

    root_namespace: Annotated[str, Meta(description="The namespace whose policies apply to the whole mesh.")] = (
        "istio-system"
    )


def _for_all(stack: Stack, kind: str, namespace: str, settings: Root) -> list[Resource] | None:
    """The policies that apply to a whole namespace; None while they are unknown."""
    found = []
    for policy in stack.of(kind):
        known = (policy.metadata["namespace"], policy["spec"], policy.at("spec.selector"))
        if not all(field.known for field in known):
            return None
        targets = policy.at("spec.targetRef").present or not policy.at("spec.targetRefs").empty
        in_reach = policy.namespace in (namespace, settings.root_namespace) and not targets
        if in_reach and policy.at("spec.selector.matchLabels").empty:
            found.append(policy)
    return found


@topic.stack(
    "mtls-in-the-mesh",
    title="The mesh accepts only encrypted connections",
    why="Istio's default is PERMISSIVE, which also accepts plain text from pods without an identity.",
    fix="Add a PeerAuthentication with mtls.mode STRICT to the namespace.",
    severity=Severity.HIGH,
    also_in=("Istio: security best practices", "Kyverno: enforce-strict-mtls"),
    settings=Root,
)
def mtls_in_the_mesh(stack: Stack, settings: Root) -> Findings:
    for namespace in meshed(stack):
        policies = _for_all(stack, _PEER_AUTHENTICATION, namespace.object_name, settings)
        if policies is None:
            continue
        modes = [policy.at("spec.mtls.mode") for policy in policies]
        if all(mode.known and (mode.absent or mode.equals("UNSET")) for mode in modes):
            yield finding(namespace, "no PeerAuthentication of the whole namespace sets mtls.mode")


class Exceptions(Settings):
    """Workloads that need a port without mutual TLS."""

    exempt: Annotated[
        tuple[str, ...],
        Meta(description="PeerAuthentications whose selected pods may have single ports in plain text, by name."),
    ] = ()


@topic.resources(
    "mtls-without-exceptions",
    _PEER_AUTHENTICATION,
    title="No pod and no port is exempt from mutual TLS",
    why="An exception accepts plain text from everyone.",
    fix="Set the mode to STRICT, and bring the client into the mesh.",
    severity=Severity.HIGH,
    also_in=("Istio: security best practices", "Kyverno: enforce-strict-mtls"),
    settings=Exceptions,
)
def mtls_without_exceptions(policy: Resource, settings: Exceptions) -> Findings:
    modes = [policy.at("spec.mtls.mode")]
    if policy.object_name not in settings.exempt or not policy.at("spec.selector").present:
        modes += [port["mode"] for _, port in policy.at("spec.portLevelMtls").entries()]
    for mode in modes:
        if mode.equals("PERMISSIVE", "DISABLE"):
            yield finding(mode, "accepts plain text")


@topic.stack(
    "mesh-allows-nothing-by-default",
    title="The mesh denies requests by default",
    why="Without an AuthorizationPolicy, every workload of the mesh may call every other one.",
    fix="Add an AuthorizationPolicy with an empty spec to the namespace, then one that allows requests for each "
    "server.",
    severity=Severity.HIGH,
    also_in=("Istio: security best practices", "Kyverno: require-authorizationpolicy"),
    settings=Root,
)
def mesh_allows_nothing_by_default(stack: Stack, settings: Root) -> Findings:
    for namespace in meshed(stack):
        policies = _for_all(stack, _AUTHORIZATION, namespace.object_name, settings)
        if policies is None:
            continue
        actions = [policy.at("spec.action") for policy in policies]
        if not any(action.absent or not action.known or action.equals("ALLOW") for action in actions):
            yield finding(namespace, "no AuthorizationPolicy of the whole namespace denies by default")


#: What cannot be spelt in another way. The proxy routes by the host: it leads a request for another spelling nowhere.
_UNAMBIGUOUS = ("hosts", "ports", "values")


@topic.resources(
    "authorization-fails-closed",
    _AUTHORIZATION,
    title="An AuthorizationPolicy denies requests that it does not match",
    why="A policy that allows everything except a path also allows other spellings of the path, and a policy that "
    "denies a path misses them: the proxy and the application may parse a request differently.",
    fix="Allow by positive matches (paths, principals); deny by negative ones (notPaths, notPrincipals).",
    severity=Severity.HIGH,
    also_in=("Istio: security best practices",),
)
def authorization_fails_closed(policy: Resource) -> Findings:
    action = policy.at("spec.action")
    allows = action.absent or action.equals("ALLOW")
    if not allows and not action.equals("DENY"):
        return
    for rule in policy.at("spec.rules"):
        if allows and all(rule[part].empty for part in ("from", "to", "when")):
            yield finding(rule, "allows every request")
        for key, match in _matches(rule):
            if key.startswith("not") is allows and key not in _UNAMBIGUOUS:
                yield finding(match, "allows everything that it does not name")


def _matches(rule: Field) -> Iterator[tuple[str, Field]]:
    for source in rule["from"]:
        yield from source["source"].entries()
    for operation in rule["to"]:
        yield from operation["operation"].entries()
    for condition in rule["when"]:
        yield from (entry for entry in condition.entries() if entry[0] != "key")


@topic.stack(
    "tokens-are-required",
    title="Where tokens are checked, a token is required",
    why="A RequestAuthentication alone refuses invalid tokens, but accepts requests without a token.",
    fix="Add an AuthorizationPolicy for the same workloads that requires requestPrincipals.",
    severity=Severity.HIGH,
    also_in=("Istio: RequestAuthentication",),
    settings=Root,
)
def tokens_are_required(stack: Stack, settings: Root) -> Findings:
    policies = [policy for policy in stack.of(_AUTHORIZATION) if _requires_token(policy)]
    for one in stack.of("security.istio.io/RequestAuthentication"):
        if not one.partial and not any(_covers(policy, one, settings) for policy in policies):
            yield finding(one, "requests without a token are accepted")


def _requires_token(policy: Resource) -> bool:
    """Whether it requires a principal of a token; an unknown one counts."""
    spec = policy["spec"]
    if not spec.known or not spec["rules"].known:
        return True
    wanted = "notRequestPrincipals" if spec["action"].equals("DENY") else "requestPrincipals"
    for rule in spec["rules"]:
        sources = [source["source"][wanted] for source in rule["from"]]
        keys = [condition["key"].text or "" for condition in rule["when"]]
        if any(not names.empty for names in sources) or any(key.startswith("request.auth.") for key in keys):
            return True
    return False


def _covers(policy: Resource, authentication: Resource, settings: Root) -> bool:
    """Whether a policy applies at least to the workloads of an authentication."""
    if policy.namespace not in (authentication.namespace, settings.root_namespace):
        return False
    ours, theirs = (labels_of(one.at("spec.selector.matchLabels")) for one in (policy, authentication))
    return ours is None or theirs is None or ours.items() <= theirs.items()
