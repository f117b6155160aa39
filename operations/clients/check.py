"""Sends a trace of a client from where the client runs, and reads it back."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from operations import jobs
from operations.clients import sender
from operations.clients.hops import Fact, Place, Result, results
from operations.clients.stack import Client, Clients
from operations.cluster import Cluster, Step
from operations.errors import OperationError
from operations.objects import named_object

Json = Mapping[str, Any]

SCRIPT: Final = Path(__file__).with_name("send.js")
CONTAINER: Final = "check"
WORKER: Final = "langfuse-worker"

PATIENCE_SECONDS: Final = 15
"""How long a new pod may take until its sidecar and its network rules are ready."""

DEADLINE_SECONDS: Final = 300
"""How long the pod may run, with the time to pull the image."""

KEEP_SECONDS: Final = 600
"""How long Kubernetes keeps a Job that a killed command left."""

INHERITED: Final = ("imagePullSecrets", "nodeSelector", "runtimeClassName", "securityContext", "tolerations")
"""Fields of the worker's pods that the pod of a check has too: what the cluster requires of pods with this image."""

MANAGER: Final = "langfuse-operations"

NEVER_READY: Final = "langfuse.operations/ready"
"""A readiness gate that nobody sets: with the labels of the client, the pod must not receive its requests."""


def check(
    clients: Clients,
    name: str,
    say: jobs.Say,
    *,
    image: str | None = None,
    labels: Mapping[str, str] | None = None,
    read_seconds: int = sender.READ_SECONDS,
) -> list[Result]:
    """Send a trace with the credentials of a client, and say which hop failed, if one did.

    Args:
        clients: The clients of the stack.
        name: The client.
        say: Prints progress.
        image: An image with Node, if the client's namespace can't pull the worker's.
        labels: Labels of the client's pods by which network policies select them.
        read_seconds: How long to wait until the trace can be read.

    Raises:
        OperationError: There is no such client, or no pod could run.
    """
    client = clients.client(name)
    trace = secrets.token_hex(16)
    if client.namespace is None:
        say(f"sending trace {trace} from this machine to {client.url} ...")
        public_key, secret_key = clients.keys(name)
        target = sender.Target(
            url=client.url, public_key=public_key, secret_key=secret_key, environment=client.environment
        )
        facts: Sequence[Fact] = sender.send(target, client.kind, trace, read_seconds=read_seconds)
    else:
        job = check_job(clients, client, trace, image=image, labels=labels or {}, read_seconds=read_seconds)
        say(f"sending trace {trace} from a pod in namespace {client.namespace} to {client.url} ...")
        facts = _run(clients.cluster, job, say)
    return results(facts, place(clients, client))


def place(clients: Clients, client: Client) -> Place:
    """Where a client sends from and to."""
    return Place(
        client=client.name,
        namespace=client.namespace,
        stack_namespace=clients.namespace,
        project=client.project,
        phase=clients.phase,
    )


def check_job(
    clients: Clients, client: Client, trace: str, *, image: str | None, labels: Mapping[str, str], read_seconds: int
) -> Json:
    """A Job in the client's namespace whose pod has the client's own ConfigMap and Secret."""
    name, namespace = f"langfuse-{client.name}", client.namespace or ""
    for kind, exists in (("ConfigMap", client.config_map), ("Secret", client.secret)):
        if not exists:
            raise OperationError(
                f"{kind} {name} does not exist in namespace {namespace}; keys of the client: {client.keys}"
            )
    variables = {
        "CHECK_KIND": client.kind,
        "CHECK_TRACE": trace,
        "CHECK_PATIENCE_SECONDS": str(PATIENCE_SECONDS),
        "CHECK_READ_SECONDS": str(read_seconds),
    }
    described = {**labels, "app.kubernetes.io/component": "check", "app.kubernetes.io/managed-by": MANAGER}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"langfuse-check-{client.name}", "namespace": namespace, "labels": described},
        "spec": {
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEEP_SECONDS,
            "template": {"metadata": {"labels": described}, "spec": _pod(clients, name, variables, image)},
        },
    }


def _pod(clients: Clients, name: str, variables: Mapping[str, str], image: str | None) -> Json:
    """A pod with Node, under the security of the worker's pods, and with a client's ConfigMap and Secret."""
    worker = clients.cluster.get(named_object("apps/v1", "Deployment", WORKER, clients.namespace))
    if worker is None:
        raise OperationError(f"there is no Deployment {WORKER} in namespace {clients.namespace}; run `pulumi up`")
    spec: Json = worker["spec"]["template"]["spec"]
    own = next(one for one in spec["containers"] if one["name"] == "worker")
    container = {
        "name": CONTAINER,
        "image": image or own["image"],
        "imagePullPolicy": own.get("imagePullPolicy", "IfNotPresent"),
        "command": ["node", "--eval", SCRIPT.read_text()],
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "envFrom": [{"configMapRef": {"name": name}}, {"secretRef": {"name": name}}],
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "securityContext": own["securityContext"],
    }
    return {
        **{key: spec[key] for key in INHERITED if key in spec},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "readinessGates": [{"conditionType": NEVER_READY}],
        "containers": [container],
    }


def _run(cluster: Cluster, job: Json, say: jobs.Say) -> Sequence[Fact]:
    """Run the Job until its container has ended: a sidecar of a mesh may run on."""
    cluster.delete(job)
    cluster.create(job)
    try:
        step = _ended(cluster, job, say)
    finally:
        cluster.delete(job)
    facts = [Fact.model_validate(json.loads(line)) for line in step.log.splitlines() if line.startswith("{")]
    if not facts:
        raise OperationError(f"the pod of Job {job['metadata']['name']} printed nothing: {step.log.strip()[-300:]}")
    return facts


def _ended(cluster: Cluster, job: Json, say: jobs.Say) -> Step:
    metadata = job["metadata"]
    deadline, shown = time.monotonic() + DEADLINE_SECONDS, ""
    while time.monotonic() < deadline:
        step = next((one for one in cluster.steps(job) if one.container == CONTAINER), None)
        if step and not step.runs:
            return step
        reason = "" if step else cluster.pod_reason(job)
        if reason and reason != shown:
            say(f"  {metadata['name']} waits: {reason}")
        shown = reason
        if "ImagePull" in reason or "ErrImage" in reason:
            raise OperationError(
                f"namespace {metadata['namespace']} can't pull the image of the worker: {reason}; create the pull "
                "Secret of the stack there, or pass --image with an image that has Node"
            )
        found = cluster.get(job)
        if found and jobs.ended(found) == "Failed":
            raise OperationError(f"the pod in namespace {metadata['namespace']} did not run: {reason or shown}")
        time.sleep(0.5)
    raise OperationError(f"no pod ran in namespace {metadata['namespace']} within {DEADLINE_SECONDS} s: {shown}")
