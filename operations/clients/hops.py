"""What a trace met on its way: facts of a sender, and which hop failed.

Two senders collect the facts: `send.js` in a pod of the client's namespace, and `sender.py` on this machine. What a
fact means, and what to do, is decided here alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Hop = Literal["DNS", "network", "TLS", "mesh", "route", "key", "write mode", "read back", "clean up"]

Step = Literal["dns", "connect", "tls", "project", "send", "read", "delete"]
"""In this order. `project`: the project of the keys; `read`: the trace by the public API; `delete`: its end."""

HOPS: Final[Mapping[Step, Hop]] = {
    "dns": "DNS",
    "connect": "network",
    "tls": "TLS",
    "project": "key",
    "send": "write mode",
    "read": "read back",
    "delete": "clean up",
}

SILENT: Final = re.compile(r"TIMEDOUT|TIMEOUT|UNREACH", re.IGNORECASE)
REFUSED: Final = re.compile(r"REFUSED", re.IGNORECASE)
NO_NAME: Final = re.compile(r"NOTFOUND|NONAME|not known|NODATA", re.IGNORECASE)
OF_MESH: Final = re.compile(r"RBAC: access denied|upstream connect error|no healthy upstream", re.IGNORECASE)

OK: Final = 200
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500
ACCEPTED: Final = (200, 207)
ERASED: Final = (200, 202, 204, 404)
SHOWN: Final = 200
"""Characters of an answer that are shown."""


class Fact(BaseModel):
    """What a sender met at a step."""

    model_config = ConfigDict(extra="ignore")

    step: Step
    error: str = ""
    """The code and message of the error, if there was no answer."""
    status: int = 0
    """The HTTP status; 0 if the step has none."""
    detail: str = ""
    """An address, a project, or the beginning of the answer."""
    seconds: float = 0.0
    """How long it took."""


class Result(BaseModel):
    """A hop, and whether the trace passed it."""

    hop: Hop
    outcome: Literal["ok", "warning", "failed"]
    detail: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a trace was sent from, and where to."""

    client: str
    """The client; empty if the stack's own keys were used."""
    namespace: str | None
    """The client's namespace; None outside of the cluster."""
    stack_namespace: str
    project: str
    """Id of the project in which the trace belongs."""
    phase: str
    """The phase of ingestion."""

    @property
    def key(self) -> str:
        """The key of the client in the stack file."""
        return f"langfuse:clients.{self.client}"


def results(facts: Sequence[Fact], place: Place) -> list[Result]:
    """The hops up to the first one that failed."""
    found: list[Result] = []
    for fact in facts:
        result = _result(fact, place)
        found.append(result)
        if result.outcome == "failed":
            break
    return found


def _result(fact: Fact, place: Place) -> Result:
    hop, fix = _fault(fact, place)
    if not hop:
        took = f" after {fact.seconds:.1f} s" if fact.seconds else ""
        return Result(hop=HOPS[fact.step], outcome="ok", detail=f"{fact.detail}{took}")
    status = f"the answer is {fact.status}" if fact.status else ""
    parts = [one for one in (fact.error, status, fact.detail[:SHOWN] if fact.status else "") if one]
    outcome: Literal["warning", "failed"] = "warning" if hop == "clean up" else "failed"
    return Result(hop=hop, outcome=outcome, detail=": ".join(parts) or fact.detail, fix=fix)


def _fault(fact: Fact, place: Place) -> tuple[Hop | None, str]:
    """The hop that failed and what to do; None if the step succeeded."""
    fixes = {"dns": _dns_fix, "connect": _network_fix, "tls": _tls_fix, "read": _read_fix}
    if fact.step in fixes:
        return (HOPS[fact.step], fixes[fact.step](fact, place)) if fact.error else (None, "")
    if fact.error and SILENT.search(fact.error):
        return "network", f"web accepts connections and does not answer: {_logs(place, 'web')}"
    if fact.error or OF_MESH.search(fact.detail):
        return "mesh", _mesh_fix(place)
    return _status_fault(fact, place)


def _status_fault(fact: Fact, place: Place) -> tuple[Hop | None, str]:
    found: tuple[Hop | None, str] = (None, "")
    match fact.step, fact.status:
        case _, 401:
            found = "key", _key_fix(place)
        case _, status if status >= SERVER_ERROR:
            found = "route", f"web, or what is in front of it, fails: {_logs(place, 'web')}"
        case "delete", status if status not in ERASED:
            found = "clean up", "delete the trace `langfuse-check` in the UI"
        case "project", 200 if fact.detail != place.project:
            found = "key", _other_project(fact, place)
        case "project", status if status != OK:
            found = "route", "the address does not lead to Langfuse: check `pulumi stack output publicRoute`"
        case "send", 207 if "errors" in fact.detail:
            found = "write mode", _phase_fix(place)
        case "send", status if status not in ACCEPTED:
            found = "write mode", f"Langfuse refuses the trace; {_phase_fix(place)}"
    return found


def _dns_fix(fact: Fact, place: Place) -> str:
    if place.namespace is None:
        return "publish the host in DNS, or add it to /etc/hosts of this machine (`pulumi stack output url`)"
    if NO_NAME.search(fact.error):
        return f"deploy the stack: `kubectl -n {place.stack_namespace} get service langfuse-web` must show the Service"
    return (
        f"allow pods of {place.namespace} to reach the cluster's DNS (UDP and TCP 53 of kube-system) in its network "
        "policies"
    )


def _network_fix(fact: Fact, place: Place) -> str:
    if place.namespace is None:
        return "allow this machine to reach the host on its port: firewall, VPN, and the load balancer's source ranges"
    if REFUSED.search(fact.error):
        return (
            f"no pod of web is ready, or a policy rejects the connection: `kubectl -n {place.stack_namespace} get pods "
            f"-l app.kubernetes.io/name=web`, and `kubectl -n {place.namespace} get networkpolicy`"
        )
    return (
        f"a network rule drops the connection. If policies deny egress of {place.namespace}, set "
        f"{place.key}.allowEgress and run `pulumi up`; if {place.key}.namespace is new, `pulumi up` opens the way in"
    )


def _tls_fix(fact: Fact, _: Place) -> str:
    if re.search("expired", fact.error, re.IGNORECASE):
        return "renew the certificate of the public address: `kubectl get certificate -A`, or the load balancer's"
    if re.search("ALTNAME|match|hostname", fact.error, re.IGNORECASE):
        return "the certificate is of another host: check langfuse:host and the Secret of the gateway"
    if re.search("wrong version|unknown protocol|PACKET", fact.error, re.IGNORECASE):
        return "the port speaks no TLS: check langfuse:ingress.tls and the gateway"
    return "trust the authority: NODE_EXTRA_CA_CERTS and REQUESTS_CA_BUNDLE in the client, or a public certificate"


def _mesh_fix(place: Place) -> str:
    if place.namespace is None:
        return "the mesh refuses the gateway: check langfuse:ingress.proxy, and the AuthorizationPolicy langfuse-web"
    return (
        f"the mesh refuses pods of {place.namespace}. If they are not in the mesh, add {place.namespace} to "
        f"langfuse:mesh.outsideClients; if they are, `pulumi up` admits {place.key}.namespace (AuthorizationPolicy "
        "langfuse-web)"
    )


def _key_fix(place: Place) -> str:
    if not place.client:
        return "Langfuse refuses the keys of the first project: docs/clients.md, Keys that are refused"
    return (
        f"Langfuse refuses the keys. Look at `kubectl -n {place.stack_namespace} logs job/langfuse-clients -c "
        f"client-{place.client}`; docs/clients.md, Keys that are refused"
    )


def _other_project(fact: Fact, place: Place) -> str:
    return (
        f"the keys belong to project {fact.detail}, not to {place.project}; raise epoch of {place.key}.publicKey and "
        "secretKey, and run `pulumi up`"
    )


def _phase_fix(place: Place) -> str:
    if place.phase == "events_only":
        return (
            "events_only drops events of version 3: set langfuse:ingestion.phase to dual, or send by OpenTelemetry or "
            "with newer SDKs (docs/runbooks/v3-to-v4.md)"
        )
    return f"`python -m operations phase` shows what fits the phase {place.phase}"


def _read_fix(fact: Fact, place: Place) -> str:
    if fact.status and fact.status not in (OK, NOT_FOUND):
        return f"the API can't read: {_logs(place, 'web')}; ClickHouse may be down"
    return (
        f"Langfuse accepted the trace, and worker did not write it: {_logs(place, 'worker')}; `python -m operations "
        f"smoke` shows the queue. In the phase {place.phase}, older SDKs are accepted and dropped"
    )


def _logs(place: Place, name: str) -> str:
    return f"`kubectl -n {place.stack_namespace} logs deployment/langfuse-{name}`"
