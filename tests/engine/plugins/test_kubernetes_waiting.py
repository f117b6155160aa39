"""Waiting for readiness: what the provider waits for, how it reports failures, and that the state is complete."""

from __future__ import annotations

import signal
import time

import pytest

from tests.engine.harness import Json
from tests.engine.kube import ClusterProgramFactory, Kube, at
from tests.waiting import eventually

pytestmark = pytest.mark.long

NOWHERE = '{"kubernetes.io/hostname": "nowhere"}'  # no node has this label
PROMPT_SECONDS = 20.0
LONG_SECONDS = 600


def test_a_rollout_that_times_out_is_explained_and_can_be_repaired(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.apps.v1.Deployment("web", metadata=meta("web", annotations={"pulumi.com/timeoutSeconds": "3"}), spec={
            "selector": {"matchLabels": {"app": "web"}}, "template": template("web", nodeSelector=SELECTOR)})
    """
    program = on_cluster(source.replace("SELECTOR", NOWHERE))
    result = program.up()
    assert result.exit_code != 0
    (error,) = (message for message in result.messages("error") if "'web' timed out" in message)
    assert "MinimumReplicasUnavailable" in error
    state = program.state()["web"]
    assert state["id"] == f"{namespace}/web"
    assert state["initErrors"]

    program.write(source.replace("SELECTOR", "{}"))
    assert program.up().ok().changes == {"web": "update"}
    assert "initErrors" not in program.state()["web"]
    live = kube.get("apps/v1", "Deployment", "web", namespace)
    assert at(live, "status.availableReplicas") == 1


def test_a_failed_job_is_reported_and_replaced_if_allowed(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    source = """
        k8s.batch.v1.Job("job", metadata=meta("job", annotations={"pulumi.com/replaceUnready": "true"}), spec={
            "backoffLimit": 0, "activeDeadlineSeconds": DEADLINE,
            "template": template("job", restartPolicy="Never", SCHEDULING)})
    """
    program = on_cluster(source.replace("DEADLINE", "1").replace("SCHEDULING", f"nodeSelector={NOWHERE}"))
    result = program.up()
    assert result.exit_code != 0
    (error,) = (message for message in result.messages("error") if "failed to initialize" in message)
    assert "DeadlineExceeded" in error
    failed = kube.get("batch/v1", "Job", "job", namespace)

    program.write(source.replace("DEADLINE", "60").replace("SCHEDULING", ""))
    assert program.up().ok().changes == {"job": "replace"}
    done = kube.get("batch/v1", "Job", "job", namespace)
    assert at(done, "metadata.uid") != at(failed, "metadata.uid")
    assert at(done, "status.succeeded") == 1
    assert program.up().ok().changes == {}


def test_annotations_configure_what_to_wait_for(on_cluster: ClusterProgramFactory, kube: Kube, namespace: str) -> None:
    program = on_cluster(f"""
        def sleeper(name, **annotations):
            k8s.apps.v1.Deployment(name, metadata=meta(name, annotations=annotations), spec={{
                "selector": {{"matchLabels": {{"app": name}}}}, "template": template(name, nodeSelector={NOWHERE})}})

        sleeper("skipped", **{{"pulumi.com/skipAwait": "true"}})
        sleeper("condition", **{{"pulumi.com/waitFor": "condition=Available=False"}})
        both = '["jsonpath={{.status.unavailableReplicas}}=1", "condition=Progressing"]'
        sleeper("path", **{{"pulumi.com/waitFor": both}})
        never = "jsonpath={{.status.replicas}}=17"
        sleeper("never", **{{"pulumi.com/waitFor": never, "pulumi.com/timeoutSeconds": "3"}})
        sleeper("wrong", **{{"pulumi.com/waitFor": "available"}})
    """)
    result = program.up()
    assert result.exit_code != 0
    state = program.state()
    assert [name for name in ("skipped", "condition", "path") if state[name].get("initErrors")] == []
    assert at(state["path"], "outputs.status.unavailableReplicas") == 1
    assert state["never"]["initErrors"]
    assert any('expected a "jsonpath=" or "condition=" prefix' in message for message in result.messages("error"))
    assert kube.names("apps/v1", "Deployment", namespace) == {"skipped", "condition", "path", "never", "wrong"}


def test_a_timeout_in_the_resource_options_takes_precedence(on_cluster: ClusterProgramFactory) -> None:
    program = on_cluster(f"""
        k8s.core.v1.Pod("pod", metadata=meta("pod", annotations={{"pulumi.com/timeoutSeconds": "{LONG_SECONDS}"}}),
            spec={{"containers": [{{"name": "main", "image": "image:1"}}], "nodeSelector": {NOWHERE}}},
            opts=pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="2s")))
    """)
    started = time.monotonic()
    assert program.up().exit_code != 0
    assert time.monotonic() - started < LONG_SECONDS / 2
    assert program.state()["pod"]["initErrors"]


def test_a_claim_that_waits_for_its_consumer_is_ready_and_a_pod_is_awaited(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster("""
        k8s.core.v1.PersistentVolumeClaim("claim", metadata=meta("claim"), spec={
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}})
        pod = k8s.core.v1.Pod("pod", metadata=meta("pod"), spec={"containers": [{"name": "main", "image": "image:1"}]})
        pulumi.export("phase", pod.status.phase)
    """)
    program.up().ok()
    assert program.outputs() == {"phase": "Running"}
    claim = kube.get("v1", "PersistentVolumeClaim", "claim", namespace)
    assert at(claim, "status.phase") == "Pending"


def test_an_interrupt_ends_the_wait_and_keeps_the_state(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster(f"""
        k8s.apps.v1.Deployment("web", metadata=meta("web"), spec={{
            "selector": {{"matchLabels": {{"app": "web"}}}}, "template": template("web", nodeSelector={NOWHERE})}})
    """)
    process = program.start("up", "--yes", "--skip-preview")
    try:
        eventually(lambda: kube.get("apps/v1", "Deployment", "web", namespace) is not None)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PROMPT_SECONDS)
    finally:
        process.kill()
    assert process.returncode != 0
    assert "cancel" in output.lower()
    state = program.state()
    assert state["web"]["id"] == f"{namespace}/web"
    assert state["web"]["initErrors"]
    program.destroy().ok()
    assert kube.get("apps/v1", "Deployment", "web", namespace) is None


def test_destroy_waits_for_finalizers_and_ignores_missing_objects(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster("""
        k8s.core.v1.ConfigMap("held", metadata=meta(
            "held", finalizers=["example.com/held"], annotations={"pulumi.com/timeoutSeconds": "3"}))
        k8s.core.v1.ConfigMap("gone", metadata=meta("gone"))
    """)
    program.up().ok()
    kube.delete("v1", "ConfigMap", "gone", namespace)
    result = program.destroy()
    assert result.exit_code != 0
    assert any("finalizers might be preventing deletion" in message for message in result.messages("error", "warning"))
    state = program.state()
    assert "held" in state
    assert "gone" not in state

    held: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"finalizers": None}}
    kube.edit(held, "held", namespace)
    program.destroy().ok()
    assert "held" not in program.state()
