"""What the cluster changes in objects is no drift if it is declared, and what it adds never is."""

from __future__ import annotations

from operations.changes.events import REFRESHED, observe
from tests.engine.harness import CHECKOUT, Json, Result
from tests.engine.kube import ClusterProgramFactory, Kube, at

SOURCE = f"""
        import sys
        sys.path.insert(0, {str(CHECKOUT)!r})
        from components.ignored_changes import IgnoreChanges

        declared = IgnoreChanges({{
            "Service/x": ["spec.sessionAffinity"],
            "Ingress": ['metadata.annotations["nginx.ingress.kubernetes.io/proxy-body-size"]'],
            "Deployment": ["spec.template.spec.containers[*].resources"],
        }})
        parent = pulumi.ComponentResource("test:index:Parent", "parent", None, declared.options(None))
        inside = pulumi.ResourceOptions(parent=parent)
        fast = {{"pulumi.com/skipAwait": "true"}}
        labels = {{"owner": "platform"}}
        for name in ("x", "y"):
            k8s.core.v1.Service(name, metadata=meta(name, labels=labels, annotations=fast), opts=inside,
                spec={{"session_affinity": "None", "ports": [{{"port": 80, "target_port": 8080}}]}})
        k8s.networking.v1.Ingress("x", opts=inside,
            metadata=meta("x", annotations={{**fast, "nginx.ingress.kubernetes.io/proxy-body-size": "0"}}),
            spec={{"default_backend": {{"service": {{"name": "x", "port": {{"number": 80}}}}}}}})
        k8s.core.v1.PersistentVolumeClaim("x", metadata=meta("x", labels=labels, annotations=fast), opts=inside,
            spec={{"access_modes": ["ReadWriteOnce"], "resources": {{"requests": {{"storage": "1Gi"}}}}}})
        pods = template("x")
        pods["spec"]["containers"][0]["resources"] = {{"requests": {{"cpu": "100m"}}}}
        k8s.apps.v1.Deployment("x", metadata=meta("x", annotations=fast), opts=inside,
            spec={{"replicas": 0, "selector": {{"match_labels": {{"app": "x"}}}}, "template": pods}})
        declared.check()
"""
KINDS = (
    ("v1", "Service"),
    ("networking.k8s.io/v1", "Ingress"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
)
ADDED: Json = {
    "annotations": {"field.cattle.io/publicEndpoints": "[]", "cloud.google.com/neg-status": "{}"},
    "labels": {"istio.io/dataplane-mode": "ambient", "policies.example.com/team": "a"},
}


def drift(result: Result) -> dict[str, tuple[str, ...]]:
    """The changed fields by object, as `operations drift` finds them."""
    changes = observe([dict(event) for event in result.ok().events], steps=REFRESHED).changes
    return {change.urn.split("::", 2)[2].rpartition(":")[2]: change.because for change in changes}


def test_only_undeclared_changes_are_drift(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    program = on_cluster(SOURCE)
    program.up().ok()

    def change(version: str, kind: str, name: str, **fields: Json) -> None:
        kube.edit({"apiVersion": version, "kind": kind, **fields}, name, namespace, manager="webhook")

    for version, kind in KINDS:
        change(version, kind, "x", metadata=ADDED)
    change("v1", "Service", "x", spec={"sessionAffinity": "ClientIP"})
    change("v1", "Service", "y", spec={"sessionAffinity": "ClientIP"}, metadata={"labels": {"owner": "somebody"}})
    body: Json = {"annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "8m"}}
    change("networking.k8s.io/v1", "Ingress", "x", metadata=body)
    pod: Json = {
        "containers": [{"name": "main", "image": "image:1", "resources": {"requests": {"cpu": "250m"}}}],
        "tolerations": [{"key": "kubernetes.io/arch", "operator": "Equal", "value": "amd64"}],
    }
    change("apps/v1", "Deployment", "x", spec={"template": {"spec": pod}})

    found = drift(program.refresh())
    assert {**found} == {"y": found["y"]}
    assert {*found["y"]} == {"spec.sessionAffinity", "metadata.labels.owner"}

    result = program.up()  # names who changed the other Service, and leaves what is declared
    assert result.exit_code != 0
    assert 'conflicts with "webhook"' in result.output
    assert at(kube.get("v1", "Service", "x", namespace), "spec.sessionAffinity") == "ClientIP"
    kept = at(kube.get("apps/v1", "Deployment", "x", namespace), "spec.template.spec.containers.0.resources")
    assert kept == {"requests": {"cpu": "250m"}}
