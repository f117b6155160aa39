"""The dev stack of this checkout on a real API server, from the first update to its deletion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypeVar

import pytest

from components.kubernetes.names import base_name
from sandbox.controlplane import Sandbox
from tests.engine.harness import CHECKOUT, Result
from tests.engine.stacks import Stack, changed_resources, contents, deploy, drifted, forms, secret_texts
from tests.engine.view import NAME_LABEL, View, changed, conditions

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

STACK_FILES = contents((CHECKOUT / "stacks").iterdir())
STATEFUL = ("statefulsets", "persistentvolumeclaims", "secrets")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
STORES = {"clickhouse", "keeper", "object-store", "postgres", "redis"}

T = TypeVar("T")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with no other stack, as at the first `make up`."""
    own = Sandbox(tmp_path_factory.mktemp("sandbox"))
    try:
        yield own
    finally:
        own.reset()


@pytest.fixture(scope="module")
def first(sandbox: Sandbox) -> Result:
    """The output of the first deployment."""
    return deploy("dev", sandbox.folder.path).ok()


@pytest.fixture(scope="module")
def deployed(sandbox: Sandbox, first: Result) -> Stack:
    stack = Stack("dev", sandbox.folder.path / "stacks", sandbox.environment())
    stack.printed.append(first.output)
    return stack


@pytest.fixture
def dev(deployed: Stack) -> Stack:
    """The deployed stack. Tests change it and leave it in a consistent state."""
    if not deployed.resources():  # deleted by the last test
        deployed.up().ok()
    return deployed


@pytest.fixture
def view(sandbox: Sandbox, dev: Stack) -> View:
    return View(sandbox, f"langfuse-{dev.name}")


def other(*choices: T, than: object) -> T:
    """The first choice that differs from the current value."""
    return next(choice for choice in choices if choice != than)


def test_every_workload_is_ready_after_the_first_update(first: Result, view: View) -> None:
    assert "Langfuse 4." in first.stderr
    assert f"kubectl -n {view.namespace} get pods" in first.stderr
    for item in view.objects("deployments"):
        assert conditions(item)["Available"] == "True", item["metadata"]["name"]
    sets = view.objects("statefulsets")
    assert {item["metadata"]["labels"][NAME_LABEL] for item in sets} == STORES
    for item in sets:
        assert item["status"].get("availableReplicas") == item["spec"]["replicas"], item["metadata"]["name"]
    jobs = view.objects("jobs")
    assert {job["metadata"]["labels"][NAME_LABEL] for job in jobs} == {
        *("first-start", "migrations", "object-store-provisioning")
    }
    for job in jobs:
        assert conditions(job)["Complete"] == "True", job["metadata"]["name"]
    claims = view.objects("persistentvolumeclaims")
    assert len(claims) == len(sets)
    for claim in claims:
        assert claim["status"]["phase"] == "Bound", claim["metadata"]["name"]


def test_the_stack_files_of_the_checkout_are_only_read(dev: Stack) -> None:
    dev.export("--show-secrets")
    assert STACK_FILES
    assert contents((CHECKOUT / "stacks").iterdir()) == STACK_FILES


def test_a_second_update_changes_nothing(dev: Stack) -> None:
    dev.preview("--expect-no-changes").ok()
    again = dev.up("--expect-no-changes").ok()
    assert {step.op for step in again.steps} == {"same"}
    assert len(again.steps) == len(dev.resources())


def test_a_new_version_changes_nothing_stateful(dev: Stack, view: View) -> None:
    version = other("4.16.1", "4.16.2", than=dev.setting("langfuse:version"))
    stores, jobs, pods = view.identities(*STATEFUL), view.jobs(), view.pods()

    dev.configure({"langfuse:version": version})
    result = dev.up().ok()

    assert changed_resources(result) == {
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        ("Job", "langfuse-first-start"),
        ("Job", "langfuse-migrations"),
    }
    assert view.identities(*STATEFUL) == stores
    assert changed(pods, view.pods()) == {"web", "worker"}
    assert changed(jobs, view.jobs()) == {"first-start", "migrations"}
    (name, _) = view.jobs()["migrations"]
    job = view.get("job", name)
    assert conditions(job)["Complete"] == "True"
    for item in (job, view.get("deployment", "langfuse-web"), view.get("deployment", "langfuse-worker")):
        (main,) = item["spec"]["template"]["spec"]["containers"]
        assert main["image"].endswith(f":{version}")


def test_another_major_release_of_postgres_is_refused_before_anything_changes(dev: Stack, view: View) -> None:
    pods, stores = view.pods(), view.identities(*STATEFUL)
    dev.configure({"langfuse:postgres": {"version": "18.4"}})
    try:
        for result in (dev.preview(), dev.up()):
            assert result.exit_code != 0
            assert 'langfuse:postgres.version: "18.4" can\'t read the data of 17.' in result.output
            assert "docs/runbooks/postgres-release.md" in result.output
    finally:
        dev.configure({"langfuse:postgres": None})
    assert view.pods() == pods
    assert view.identities(*STATEFUL) == stores
    dev.up().ok()


def test_a_setting_in_a_config_map_restarts_only_its_readers(dev: Stack, view: View) -> None:
    days = other(31, 32, than=dev.setting("langfuse:objectStore", "eventsDays"))
    pods, jobs = view.pods(), view.jobs()

    dev.configure({"langfuse:objectStore": {"eventsDays": days}})
    result = dev.up().ok()

    assert {(kind, base_name(name) if kind == "ConfigMap" else name) for kind, name in changed_resources(result)} == {
        ("ConfigMap", "langfuse-object-store-provisioning-desired-state"),
        ("Job", "langfuse-object-store-provisioning"),
    }
    assert view.pods() == pods
    assert changed(jobs, view.jobs()) == {"object-store-provisioning"}
    job = view.get("job", view.jobs()["object-store-provisioning"][0])
    assert conditions(job)["Complete"] == "True"
    desired = view.mounted(job["spec"]["template"], "desired-state")
    assert f'"Days": {days}' in desired["events.lifecycle.json"]


def test_a_memory_limit_restarts_only_its_store(dev: Stack, view: View) -> None:
    memory = other("1Gi", "2Gi", than=dev.setting("langfuse:redis", "resources", "memory"))
    most = {"1Gi": 768, "2Gi": 1536}[memory] * 2**20
    pods, jobs, claims = view.pods(), view.jobs(), view.identities("persistentvolumeclaims")

    dev.configure({"langfuse:redis": {"resources": {"memory": memory}}})
    dev.up().ok()

    assert changed(pods, view.pods()) == {"redis"}
    assert view.jobs() == jobs
    assert view.identities("persistentvolumeclaims") == claims
    pod = view.get("pod", "langfuse-redis-0")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == memory
    assert f"maxmemory {most}" in view.mounted(pod, "config")["valkey.conf"]


def test_a_failed_update_can_be_reverted(dev: Stack, view: View) -> None:
    """The update created a ConfigMap before it failed. The former ConfigMap is still in use."""
    before = {"langfuse:redis": dev.setting("langfuse:redis"), "langfuse:patches": dev.setting("langfuse:patches")}
    memory = other("1Gi", "2Gi", than=dev.setting("langfuse:redis", "resources", "memory"))
    nothing = {"spec": {"template": {"spec": {"containers": [{"name": "valkey", "image": ""}]}}}}
    refused = {"kind": "StatefulSet", "name": "langfuse-redis", "patch": nothing}
    dev.configure({"langfuse:redis": {"resources": {"memory": memory}}, "langfuse:patches": [refused]})
    pods = view.pods()
    assert dev.up().exit_code != 0

    dev.configure(before)
    dev.up().ok()

    assert view.pods() == pods
    dev.preview("--expect-no-changes").ok()


def test_a_new_credential_restarts_only_its_readers(dev: Stack, view: View) -> None:
    expected = view.readers("langfuse-redis")
    assert expected == {"redis", "web", "worker"}
    pods, jobs, values = view.pods(), view.jobs(), view.generated()

    result = dev.up("--replace", dev.urn("random:index/randomPassword:RandomPassword", "langfuse-redis")).ok()

    assert changed_resources(result) == {
        ("RandomPassword", "langfuse-redis"),
        ("Secret", "langfuse-redis"),
        *(("StatefulSet" if name == "redis" else "Deployment", f"langfuse-{name}") for name in expected),
        ("Job", "langfuse-first-start"),
    }
    assert changed(values, view.generated()) == {"langfuse-redis/password"}
    assert changed(pods, view.pods()) == expected
    assert changed(jobs, view.jobs()) == {"first-start"}


def test_a_refresh_shows_outside_changes_and_an_update_reverts_them(dev: Stack, view: View) -> None:
    edited = {
        ("Deployment", "langfuse-web"),
        ("Service", "langfuse-web"),
        ("CronJob", "langfuse-backup-postgres"),
        ("Secret", "langfuse-redis"),
        ("VirtualService", "langfuse"),
    }
    before = {(kind, name): view.get(kind, name) for kind, name in edited}
    here = ("--namespace", view.namespace)
    view.kubectl("scale", *here, "deployment/langfuse-web", "--replicas=3").ok()
    view.patch("service", "langfuse-web", {"spec": {"ports": [{"port": 80}]}}, manager="kubectl-edit")
    view.patch("cronjob", "langfuse-backup-postgres", {"spec": {"suspend": True}}, manager="dashboard")
    view.patch("secret", "langfuse-redis", {"stringData": {"password": "guessed"}}, manager="kubectl-patch")
    view.kubectl("delete", *here, "virtualservice/langfuse").ok()

    shown = dev.refresh("--preview-only").ok()
    assert drifted(shown) == edited
    dev.refresh("--yes", "--skip-preview").ok()
    mended = dev.up().ok()

    assert changed_resources(mended) == edited
    for (kind, name), item in before.items():
        present = view.get(kind, name)
        assert present.get("spec") == item.get("spec"), (kind, name)
        same_data = present.get("data") == item.get("data")  # outside the assertion: pytest would show the Secret
        assert same_data, (kind, name)
    dev.preview("--expect-no-changes").ok()


def test_no_credential_is_in_the_state_the_logs_or_the_output(sandbox: Sandbox, dev: Stack, view: View) -> None:
    """Checks all output so far and every file of the sandbox except etcd's, the store of the cluster itself."""
    known = set(view.user_names())
    values = {*view.generated().values(), *secret_texts(json.loads(dev.export("--show-secrets")))} - known
    number = len(values)  # pytest shows the values in an assertion
    assert number > 30
    dev.preview("--diff", "--refresh").ok()
    files = [
        file
        for file in sandbox.folder.path.rglob("*")
        if file.is_file() and not file.is_relative_to(sandbox.folder.etcd) and not file.is_symlink()
    ]
    assert sandbox.folder.path / "logs" / "kube-apiserver.log" in files
    texts = {
        "the exported state": dev.export(),
        "what commands print": "\n".join(dev.printed),
        **{str(file): file.read_text(errors="replace") for file in files},
    }

    found = [place for place, text in texts.items() if any(form in text for value in values for form in forms(value))]

    assert found == []
    would_be_found = view.generated()["langfuse-redis/password"] in dev.export("--show-secrets")
    assert would_be_found


def test_no_credential_is_in_the_state_after_kubectl_apply_and_a_refresh(dev: Stack, view: View) -> None:
    """`kubectl apply` writes the whole object into an annotation, including the data of a Secret."""
    here = ("--namespace", view.namespace)
    secrets = [{**item, "apiVersion": "v1"} for item in view.objects("secrets")]
    view.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": secrets})).ok()
    applied = {
        item["metadata"]["name"] for item in view.objects("secrets") if APPLIED in item["metadata"]["annotations"]
    }
    assert applied == {item["metadata"]["name"] for item in secrets}

    dev.refresh("--yes", "--skip-preview").ok()

    state, values = dev.export(), set(view.generated().values()) - set(view.user_names())
    assert len(values) > 10
    found = [number for number, value in enumerate(values) if any(form in state for form in forms(value))]
    assert found == []
    dev.preview("--expect-no-changes").ok()
    view.kubectl("annotate", *here, "secrets", "--all", f"{APPLIED}-").ok()


def test_destroy_retains_protected_resources_and_says_so(dev: Stack, view: View) -> None:
    dev.configure({"langfuse:protect": True})
    try:
        dev.up().ok()
        everything = view.identities("deployments", "services", *STATEFUL)
        data, values = view.identities("statefulsets", "persistentvolumeclaims"), view.generated()

        refused = dev.destroy()
        assert refused.exit_code != 0
        assert "Traceback" not in refused.output
        assert view.identities("deployments", "services", *STATEFUL) == everything
        named = "\n".join(refused.messages("error"))
        for name in STORES:
            assert f'StatefulSet::langfuse-{name}" cannot be deleted\nbecause it is protected' in named

        partial = dev.destroy("--exclude-protected").ok()
        assert "protected resources associated with this stack" in partial.output
        assert view.objects("deployments") == []
        assert view.identities("statefulsets", "persistentvolumeclaims") == data
    finally:
        dev.configure({"langfuse:protect": None})
        dev.up().ok()
    assert view.identities("statefulsets", "persistentvolumeclaims") == data
    assert changed(values, view.generated()) == set()


def test_destroy_deletes_everything_that_is_not_protected(dev: Stack, view: View) -> None:
    result = dev.destroy().ok()
    assert set(result.changes.values()) == {"delete"}
    assert dev.resources() == []
    gone = view.kubectl("get", "namespace", view.namespace)
    assert "NotFound" in gone.stderr
    volumes = json.loads(view.kubectl("get", "persistentvolumes", "--output=json").ok().stdout)["items"]
    claims = [item["spec"]["claimRef"] for item in volumes]
    assert [claim["name"] for claim in claims if claim["namespace"] == view.namespace] == []
