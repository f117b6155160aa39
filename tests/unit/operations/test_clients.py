"""`clients list`, `check` and `revoke`: what they show, refuse and start. tests/data/clients sends the traces."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from operations.__main__ import app
from operations.clients import sender, stack
from operations.clients.hops import Fact
from operations.cluster import Step

NAMESPACE = "langfuse-prod"
KEYS = {"gateway": "pk-lf-gateway", "notebooks": "pk-lf-notebooks", "first": "pk-lf-first"}
OUTPUTS: Mapping[str, Any] = {
    "namespace": NAMESPACE,
    "clients": {
        "gateway": {
            "kind": "litellm",
            "namespace": "litellm",
            "project": "project-1",
            "environment": "production",
            "url": f"http://langfuse-web.{NAMESPACE}.svc:3000",
        },
        "notebooks": {"kind": "sdk", "project": "project-1", "url": "https://langfuse.example.com"},
    },
}
SETTINGS: Mapping[str, Any] = {"langfuse:clients": {**OUTPUTS["clients"], "new": {"kind": "otel"}}}
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}
PODS = {"securityContext": {"runAsNonRoot": True}, "imagePullSecrets": [{"name": "pull"}], "affinity": {}}


def initializing(name: str, secret: str) -> dict[str, Any]:
    """A container that creates a key pair."""
    keys = {"PUBLIC": "public-key", "SECRET": "secret-key"}
    return {
        "name": name,
        "env": [
            {
                "name": f"LANGFUSE_INIT_PROJECT_{part}_KEY",
                "valueFrom": {"secretKeyRef": {"name": secret, "key": key}},
            }
            for part, key in keys.items()
        ],
    }


class World:
    """A cluster with the objects of the stack, and what its Jobs print."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Any] = {}
        self.created: list[dict[str, Any]] = []
        self.log = ""
        self.failed: dict[str, str] = {}
        """The log of each failed container."""
        self.reason = ""
        for name, public in KEYS.items():
            data = {"public-key": public, "secret-key": f"sk-lf-{name}"}
            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
            self.add("Secret", f"keys-{name}", data=encoded)
        names = [name for name in KEYS if name != "first"]
        self.add_job("langfuse-clients", [initializing(f"client-{name}", f"keys-{name}") for name in names])
        self.add_job("langfuse-first-start", [initializing("first-start", "keys-first")])
        for kind in ("Secret", "ConfigMap"):
            self.add(kind, "langfuse-gateway", "litellm")
        worker = {"name": "worker", "image": "worker:1", "securityContext": SECURITY}
        template = {"template": {"spec": {**PODS, "containers": [worker]}}}
        self.add("Deployment", "langfuse-worker", spec=template)
        container = {"name": "revoke", "env": [{"name": "PUBLIC_KEY", "value": ""}]}
        run = {"activeDeadlineSeconds": 60, "template": {"metadata": {}, "spec": {"containers": [container]}}}
        self.add("CronJob", "langfuse-revoke-key", apiVersion="batch/v1", spec={"jobTemplate": {"spec": run}})

    def add(self, kind: str, name: str, namespace: str = NAMESPACE, **fields: object) -> None:
        metadata = {"name": name, "namespace": namespace, "uid": "uid"}
        self.objects[kind, name, namespace] = {"kind": kind, "metadata": metadata, **fields}

    def add_job(self, name: str, containers: list[dict[str, Any]]) -> None:
        status = {"conditions": [{"type": "Complete", "status": "True"}]}
        self.add("Job", name, spec={"template": {"spec": {"containers": containers}}}, status=status)

    def get(self, wanted: Mapping[str, Any]) -> Any:  # noqa: ANN401  # an object of Kubernetes
        return self.objects.get((wanted["kind"], wanted["metadata"]["name"], wanted["metadata"]["namespace"]))

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        self.created.append(job)
        ended = {"conditions": [{"type": "Complete", "status": "True"}]}
        metadata = job["metadata"]
        self.objects[job["kind"], metadata["name"], metadata["namespace"]] = {**job, "status": ended}
        return job

    def delete(self, job: Mapping[str, Any]) -> None:
        self.objects.pop((job["kind"], job["metadata"]["name"], job["metadata"]["namespace"]), None)

    def steps(self, job: Mapping[str, Any]) -> list[Step]:
        if job["metadata"]["name"] == "langfuse-clients":
            return [Step("pod", name, runs=False, failed=True, log=log) for name, log in self.failed.items()]
        name = job["spec"]["template"]["spec"]["containers"][0]["name"]
        return [] if self.reason else [Step("pod", name, runs=False, failed=False, log=self.log)]

    def pod_reason(self, _: Mapping[str, Any]) -> str:
        return self.reason


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("operations.pulumi.Pulumi.outputs", lambda _: OUTPUTS)
    monkeypatch.setattr("operations.pulumi.Pulumi.settings", lambda _: SETTINGS)
    monkeypatch.setattr("operations.cluster.Cluster.of", staticmethod(lambda _: made))
    monkeypatch.setattr("operations.cluster_identity.check", lambda _: None)
    return made


def run(command: str, *words: str) -> Result:
    return CliRunner().invoke(app, ["clients", command, *words, "--stack", "prod"])


def test_the_list_shows_what_exists_and_why_keys_do_not(world: World) -> None:
    result = run("list", "--json")
    assert result.exit_code == 0, result.output
    gateway, notebooks, new = json.loads(result.stdout)
    assert (gateway["secret"], gateway["config_map"], gateway["keys"]) == (True, True, "exist")
    assert (notebooks["namespace"], notebooks["secret"], notebooks["keys"]) == (None, None, "exist")
    assert (new["name"], new["keys"]) == ("new", "not deployed; run `pulumi up`")

    world.delete({"kind": "Secret", "metadata": {"name": "langfuse-gateway", "namespace": "litellm"}})
    world.objects["Job", "langfuse-clients", NAMESPACE]["status"] = {}
    world.failed = {"client-gateway": "starting\nclients: gateway: Langfuse refuses its keys\n"}
    gateway, notebooks, _ = json.loads(run("list", "--json").stdout)
    assert (gateway["secret"], gateway["keys"]) == (False, "clients: gateway: Langfuse refuses its keys")
    assert notebooks["keys"] == "Job langfuse-clients has not created them"
    assert "missing" in run("list").stdout


def test_a_check_runs_with_the_clients_own_objects_under_restricted_security_and_leaves_nothing(world: World) -> None:
    facts = [{"step": "dns", "detail": "10.0.0.1"}, {"step": "connect", "error": "ETIMEDOUT: no answer"}]
    world.log = "\n".join(json.dumps(one) for one in facts)
    result = run("check", "gateway", "--label", "app=litellm", "--json")
    assert result.exit_code == 1, result.output
    dns, network = json.loads(result.stdout)
    assert (dns["outcome"], network["hop"], network["outcome"]) == ("ok", "network", "failed")
    assert "langfuse:clients.gateway.allowEgress" in network["fix"]

    (job,) = world.created
    assert world.get(job) is None
    assert job["metadata"]["namespace"] == "litellm"
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": "langfuse-gateway"}},
        {"secretRef": {"name": "langfuse-gateway"}},
    ]
    assert (container["image"], container["securityContext"]) == ("worker:1", SECURITY)
    assert pod["metadata"]["labels"]["app"] == "litellm"
    assert pod["spec"]["readinessGates"], "with the client's labels, it would receive the client's requests"
    assert {key: pod["spec"].get(key) for key in PODS} == {**PODS, "affinity": None}
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert not any("sk-lf" in json.dumps(one) for one in world.created)


def test_what_prevents_a_check_is_one_error(world: World) -> None:
    world.reason = "ErrImagePull: unauthorized"
    result = run("check", "gateway")
    assert (result.exit_code, "pass --image with an image that has Node" in result.stderr) == (2, True), result.output
    assert world.get(world.created[0]) is None
    result = run("check", "other")
    assert (result.exit_code, "no client 'other'; it has: gateway, notebooks" in result.stderr) == (2, True)
    world.delete({"kind": "Secret", "metadata": {"name": "langfuse-gateway", "namespace": "litellm"}})
    result = run("check", "gateway")
    assert (result.exit_code, "Secret langfuse-gateway does not exist" in result.stderr) == (2, True)
    assert run("check", "gateway", "--label", "litellm").exit_code == 2


def test_a_client_outside_of_the_cluster_is_checked_from_here(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def send(target: sender.Target, kind: str, _: str, **__: object) -> list[Fact]:
        sent.append((target, kind))
        return []

    monkeypatch.setattr(sender, "send", send)
    assert run("check", "notebooks").exit_code == 0
    ((target, kind),) = sent
    assert (target.url, target.public_key, kind) == ("https://langfuse.example.com", "pk-lf-notebooks", "sdk")
    assert world.created == []


def test_a_revoked_key_pair_is_that_of_the_client_and_the_next_step_is_told(world: World) -> None:
    world.log = json.dumps({"revoked": True, "deleted": 1, "project": "project-1"})
    result = run("revoke", "gateway", "--yes")
    assert result.exit_code == 0, result.output
    (job,) = world.created
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["env"] == [{"name": "PUBLIC_KEY", "value": "pk-lf-gateway"}]
    assert "deleted the key pair pk-lf-gateway of project project-1" in result.stderr
    assert "remove langfuse:clients.gateway from the stack file" in result.stderr

    world.log = json.dumps({"revoked": True, "deleted": 0, "project": None})
    result = run("revoke", "--public-key", "pk-lf-old", "--yes")
    assert (result.exit_code, "had no key pair pk-lf-old" in result.stderr) == (0, True)
    assert "from the stack file" not in result.stderr


def test_a_key_pair_is_not_revoked_without_consent_or_if_it_is_that_of_the_first_project(world: World) -> None:
    result = run("revoke", "gateway")
    assert (result.exit_code, "pass --yes" in result.stderr) == (2, True)
    result = run("revoke", "--public-key", KEYS["first"], "--yes")
    assert (result.exit_code, "key pair of the first project" in result.stderr) == (2, True)
    for words in ([], ["gateway", "--public-key", "pk-lf-1"]):
        assert "name a client, or pass --public-key" in run("revoke", *words, "--yes").stderr
    assert world.created == []


def test_names_are_those_of_the_program() -> None:
    from tests.unit.program import recorded  # noqa: PLC0415  # renders a stack

    recording = recorded("dev", {"clients": {"gateway": {"kind": "litellm", "namespace": "litellm"}}})
    job = recording.one("Job", stack.CREATED)
    (container,) = job.inputs["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "client-gateway"
    assert {stack.PUBLIC_KEY, stack.SECRET_KEY} <= {one["name"] for one in container["env"]}
    assert recording.one("Job", stack.FIRST_START)
    assert recording.one("CronJob", stack.REVOKE).inputs["spec"]["suspend"] is True
