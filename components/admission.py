"""Asks the cluster whether it admits the pods of a workload, before the workload is created or updated.

Deployments, StatefulSets, Jobs and CronJobs are accepted even if the cluster refuses their pods: only the controller
that creates the pods gets the refusal, and reports it as an event. The update would wait for the pods until it times
out, and the pods of a CronJob would be missed when a backup is needed. So each pod is first created in a dry run, which
runs the same admission: Pod Security, security context constraints, limit ranges, quotas, policies and webhooks.
"""

import json
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Final

import pulumi

from components.kubernetes.stateful_sets import OPERATOR_USER
from components.schema.cluster import Cluster, Users
from components.schema.redaction import Redaction

CONTROLLERS: Final[Mapping[str, str]] = {
    "Deployment": "replicaset-controller",
    "StatefulSet": "statefulset-controller",
    "Job": "job-controller",
    "CronJob": "job-controller",
}
"""The service account in `kube-system` that creates the pods. Admission can depend on it: a constraint of OpenShift
that an administrator may use, and the controller may not, would admit the pod in the dry run only."""

OPERATED: Final = "Cluster"
"""The kind of CloudNativePG, whose operator creates the pods of the database."""

ATTEMPTS: Final = 3
PAUSE_SECONDS: Final = 2
"""For a webhook that does not answer, and for an object that the API server does not know yet."""

TIMEOUT_SECONDS: Final = 35
"""A webhook has at most 30 seconds to answer."""

NOT_ALLOWED: Final = ("cannot impersonate resource", 'cannot create resource "pods"')
"""In the message, if it is the request that is not allowed, and not the pod."""

BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_FOUND: Final = 404

Post = Callable[[str, Mapping[str, object], str | None], tuple[int, str]]
"""Creates a pod in a namespace in a dry run, as a controller if one is given, and returns status and message."""


class Admission:
    """The check of the pods of a stack. It runs in updates only: a preview needs no cluster."""

    def __init__(self, cluster: Cluster, post: Post | None = None, *, attempts: int = ATTEMPTS) -> None:
        """Take the settings of `langfuse:cluster`, and in tests what asks the API server."""
        self._cluster, self._attempts = cluster, attempts
        self._post = post or self._create

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
        """The options of the component whose workloads are checked."""
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[self._add_hook]))

    def _add_hook(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("kubernetes:") or args.type_.rpartition(":")[2] not in {*CONTROLLERS, OPERATED}:
            return None
        own = pulumi.ResourceOptions(hooks=self._binding)
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, own))

    @cached_property
    def _binding(self) -> pulumi.ResourceHookBinding:
        hook = pulumi.ResourceHook("pods-are-admitted", self.check)
        return pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])

    def check(self, args: pulumi.ResourceHookArgs) -> None:
        """Create the pod of a workload in a dry run.

        A cluster that can't be reached, and one that does not allow the request, are left to the update itself. The
        pods of an operator are only similar to those that are tried, so their refusal is a warning.

        Raises:
            pulumi.RunError: With the workload and the reason that the cluster gives.
        """
        kind, inputs = args.type.rpartition(":")[2], args.new_inputs or {}
        where = inputs["metadata"]["namespace"]
        pod = operated_pod(inputs, self._cluster.users) if kind == OPERATED else pod_of(kind, inputs)
        reason = None
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(PAUSE_SECONDS)
            reason = self._refusal(where, pod, CONTROLLERS.get(kind))
            if reason is None:
                return
        text = Redaction()(f"{kind} {where}/{inputs['metadata']['name']}: the cluster refuses its pods: {reason}")
        if kind == OPERATED or "exceeded quota" in text:  # pods that end during the update may leave room
            pulumi.log.warn(text)
            return
        raise pulumi.RunError(f"{text}; nothing of it was changed (docs/clusters.md, Pods that the cluster refuses)")

    def _refusal(self, namespace: str, pod: Mapping[str, object], controller: str | None) -> str | None:
        for user in dict.fromkeys((controller, None)):
            status, message = self._post(namespace, pod, user)
            if status < BAD_REQUEST or status == NOT_FOUND:
                return None
            if not (status == FORBIDDEN and any(text in message for text in NOT_ALLOWED)):
                return None if "does not support dry run" in message else message
        return None

    def _create(self, namespace: str, pod: Mapping[str, object], controller: str | None) -> tuple[int, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if controller:
            headers["Impersonate-User"] = f"system:serviceaccount:kube-system:{controller}"
        client = self._client
        if client is None:
            return NOT_FOUND, ""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # takes a while, which previews do not need

        request = client.param_serialize(
            method="POST",
            resource_path="/api/v1/namespaces/{namespace}/pods",
            path_params={"namespace": namespace},
            query_params=[("dryRun", "All")],
            header_params=headers,
            body=pod,
            auth_settings=["BearerToken"],
        )
        try:
            answer = client.call_api(*request, _request_timeout=TIMEOUT_SECONDS)
            return int(answer.status), _message(answer.read())
        except (OSError, HTTPError):
            return NOT_FOUND, ""

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # kubernetes has no types
        from components.cluster_client import try_connect  # noqa: PLC0415  # takes a second, which previews do not need

        return try_connect(self._cluster)


def pod_of(kind: str, inputs: Mapping[str, Any]) -> dict[str, object]:
    """The pod that the controller of a workload would create, with a generated name."""
    spec = inputs["spec"]
    template = _plain((spec["jobTemplate"]["spec"] if kind == "CronJob" else spec)["template"])
    name = inputs["metadata"]["name"]
    pod = template["spec"]
    if claims := spec.get("volumeClaimTemplates"):
        names = [claim["metadata"]["name"] for claim in claims]
        own = [{"name": one, "persistentVolumeClaim": {"claimName": f"{one}-{name}-0"}} for one in names]
        pod = {**pod, "volumes": [*pod.get("volumes", []), *own]}
    metadata = {**template["metadata"], "generateName": f"{name}-"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def operated_pod(inputs: Mapping[str, Any], users: Users) -> dict[str, object]:
    """A pod like those of CloudNativePG (pkg/specs/pods.go and security.go of the operator).

    Its service account does not exist before the operator has created it.
    """
    spec, name = _plain(inputs["spec"]), inputs["metadata"]["name"]
    user, seccomp = spec.get("postgresUID", OPERATOR_USER), {"seccompProfile": spec["seccompProfile"]}
    ids = {"runAsUser": user, "runAsGroup": user, "fsGroup": user} if users == "image" else {}
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        **seccomp,
    }
    container = {
        "name": "postgres",
        "image": spec["imageName"],
        "command": ["/controller/manager", "instance", "run"],
        "ports": [{"name": "postgresql", "containerPort": 5432}, {"name": "status", "containerPort": 8000}],
        "resources": spec["resources"],
        "securityContext": restricted,
        "volumeMounts": [{"name": "pgdata", "mountPath": "/var/lib/postgresql/data"}],
    }
    labels = {**spec["inheritedMetadata"]["labels"], "cnpg.io/cluster": name, "cnpg.io/podRole": "instance"}
    pod = {
        "containers": [container],
        "imagePullSecrets": spec.get("imagePullSecrets", []),
        "securityContext": {"runAsNonRoot": True, **ids, **seccomp},
        "volumes": [{"name": "pgdata", "persistentVolumeClaim": {"claimName": f"{name}-1"}}],
    }
    metadata = {"generateName": f"{name}-", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod}


def _plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    """The value as the API server takes it.

    Secrets reach a hook as outputs: admission does not depend on them. All numbers reach it with a fraction (protobuf's
    Struct), which the API server refuses for a port.
    """
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return "secret" if isinstance(value, pulumi.Output) else value


def _message(body: bytes) -> str:
    """The message of a Status object."""
    try:
        return str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        return body.decode(errors="replace")
