"""The dev stack of this checkout on a real API server, from the first update to its deletion.

The tests run in this order. Each update also proves that the test before left no other change pending.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from components.kubernetes.names import base_name
from components.schema import cluster as settings
from operations.cluster import Cluster
from operations.writers import WRITERS
from sandbox.controlplane import Sandbox
from tests.engine.harness import CHECKOUT
from tests.engine.stacks import Stack, changed_resources, contents, drifted, forms, secret_texts
from tests.engine.view import NAME_LABEL, View, changed, conditions

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600)]

STACK_FILES = contents((CHECKOUT / "stacks").iterdir())
STATEFUL = ("statefulsets", "persistentvolumeclaims", "secrets")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
STORES = {"clickhouse", "keeper", "object-store", "postgres", "redis"}

T = TypeVar("T")


@pytest.fixture(scope="module")
def deployed(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """A second stack with the configuration of dev: other tests need dev unchanged."""
    config = yaml.safe_load((CHECKOUT / "stacks" / "Pulumi.dev.yaml").read_text())["config"]
    folder = tmp_path_factory.mktemp("stacks") / "changing"
    stack = Stack.new("changing", folder, sandbox.environment(), {**config, "langfuse:profile": "dev"})
    stack.up().ok()
    return stack


@pytest.fixture
def stack(deployed: Stack) -> Stack:
    """The second stack. Tests change it and leave it in a consistent state, without pending changes."""
    if not deployed.resources():  # deleted by the last test
        deployed.up().ok()
    return deployed


@pytest.fixture
def view(sandbox: Sandbox, stack: Stack) -> View:
    return View(sandbox, f"langfuse-{stack.name}")


def other(*choices: T, than: object) -> T:
    """The first choice that differs from the current value."""
    return next(choice for choice in choices if choice != than)


def test_every_workload_is_ready_after_the_first_update(sandbox: Sandbox, dev: Stack) -> None:
    view, (printed, *_) = View(sandbox, f"langfuse-{dev.name}"), dev.printed
    assert "Langfuse 4." in printed
    assert f"kubectl -n {view.namespace} get pods" in printed
    for item in view.objects("deployments"):
        assert conditions(item)["Available"] == "True", item["metadata"]["name"]
    sets = view.objects("statefulsets")
    assert {item["metadata"]["labels"][NAME_LABEL] for item in sets} == STORES
    for item in sets:
        assert item["status"].get("availableReplicas") == item["spec"]["replicas"], item["metadata"]["name"]
    jobs = view.objects("jobs")
    assert {job["metadata"]["labels"][NAME_LABEL] for job in jobs} == {
        *("backup-before-upgrade", "first-start", "migrations", "object-store-provisioning")
    }
    for job in jobs:
        assert conditions(job)["Complete"] == "True", job["metadata"]["name"]
    claims = view.objects("persistentvolumeclaims")
    assert len(claims) == len(sets)
    for claim in claims:
        assert claim["status"]["phase"] == "Bound", claim["metadata"]["name"]


def test_the_stack_files_of_the_checkout_are_only_read(stack: Stack) -> None:
    stack.export("--show-secrets")
    assert STACK_FILES
    assert contents((CHECKOUT / "stacks").iterdir()) == STACK_FILES


def test_a_second_update_changes_nothing(stack: Stack) -> None:
    again = stack.up("--expect-no-changes").ok()
    assert {step.op for step in again.steps} == {"same"}
    assert len(again.steps) == len(stack.resources())


def test_a_new_version_changes_nothing_stateful(sandbox: Sandbox, stack: Stack, view: View) -> None:
    """Also if web and worker are stopped, as after a restore for the way back: the update starts them."""
    version = other("4.16.1", "4.16.2", than=stack.setting("langfuse:version"))
    stores, jobs, pods = view.identities(*STATEFUL), view.jobs(), view.pods()

    cluster = Cluster(settings.Cluster(kubeconfig=sandbox.environment()["KUBECONFIG"]))
    for name in WRITERS:
        cluster.scale(view.get("deployment", name), 0)
        assert view.get("deployment", name)["spec"]["replicas"] == 0

    stack.configure({"langfuse:version": version})
    result = stack.up().ok()

    assert [view.get("deployment", name)["spec"]["replicas"] for name in WRITERS] == [1, 1]
    assert changed_resources(result) == {
        ("CronJob", "langfuse-backup-clickhouse"),  # their last steps run in the worker's image
        ("CronJob", "langfuse-backup-postgres"),
        ("CronJob", "langfuse-drill-clickhouse"),
        ("CronJob", "langfuse-drill-postgres"),
        ("CronJob", "langfuse-repair-schema"),
        ("CronJob", "langfuse-replay-events"),
        ("CronJob", "langfuse-restore-clickhouse"),
        ("CronJob", "langfuse-restore-postgres"),
        ("CronJob", "langfuse-retention"),
        ("CronJob", "langfuse-verify-backups"),
        ("Deployment", "langfuse-web"),
        ("Deployment", "langfuse-worker"),
        ("Job", "langfuse-backup-before-upgrade"),
        ("Job", "langfuse-first-start"),
        ("Job", "langfuse-migrations"),
    }
    assert view.identities(*STATEFUL) == stores
    assert changed(pods, view.pods()) == {"web", "worker"}
    assert changed(jobs, view.jobs()) == {"backup-before-upgrade", "first-start", "migrations"}
    (name, _) = view.jobs()["migrations"]
    job = view.get("job", name)
    assert conditions(job)["Complete"] == "True"
    for item in (job, view.get("deployment", "langfuse-web"), view.get("deployment", "langfuse-worker")):
        (main,) = item["spec"]["template"]["spec"]["containers"]
        assert main["image"].endswith(f":{version}")


def test_another_major_release_of_postgres_is_refused_before_anything_changes(stack: Stack, view: View) -> None:
    pods, others = view.pods(), view.identities(*STATEFUL, "cronjobs", "jobs")
    stack.configure({"langfuse:postgres": {"version": "18.4"}})
    try:
        for result in (stack.preview(), stack.up()):
            assert result.exit_code != 0
            assert 'langfuse:postgres.version: "18.4" can\'t read the data of 17.' in result.output
            assert "docs/runbooks/postgres-release.md" in result.output
    finally:
        stack.configure({"langfuse:postgres": None})
    assert view.pods() == pods
    assert view.identities(*STATEFUL, "cronjobs", "jobs") == others
    stack.up().ok()


def test_a_setting_in_a_config_map_restarts_only_its_readers(stack: Stack, view: View) -> None:
    days = other(31, 32, than=stack.setting("langfuse:objectStore", "eventsDays"))
    pods, jobs = view.pods(), view.jobs()

    stack.configure({"langfuse:objectStore": {"eventsDays": days}})
    result = stack.up().ok()

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


def test_a_memory_limit_restarts_only_its_store(stack: Stack, view: View) -> None:
    memory = other("1Gi", "2Gi", than=stack.setting("langfuse:redis", "resources", "memory"))
    most = {"1Gi": 480, "2Gi": 992}[memory] * 2**20
    pods, jobs, claims = view.pods(), view.jobs(), view.identities("persistentvolumeclaims")

    stack.configure({"langfuse:redis": {"resources": {"memory": memory}}})
    stack.up().ok()

    assert changed(pods, view.pods()) == {"redis"}
    assert view.jobs() == jobs
    assert view.identities("persistentvolumeclaims") == claims
    pod = view.get("pod", "langfuse-redis-0")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == memory
    assert f"maxmemory {most}" in view.mounted(pod, "config")["valkey.conf"]


def test_a_failed_update_can_be_reverted(stack: Stack, view: View) -> None:
    """The update created a ConfigMap before it failed. The former ConfigMap is still in use."""
    before = {"langfuse:redis": stack.setting("langfuse:redis"), "langfuse:patches": stack.setting("langfuse:patches")}
    memory = other("1Gi", "2Gi", than=stack.setting("langfuse:redis", "resources", "memory"))
    nothing = {"spec": {"template": {"spec": {"containers": [{"name": "valkey", "image": ""}]}}}}
    refused = {"kind": "StatefulSet", "name": "langfuse-redis", "patch": nothing}
    stack.configure({"langfuse:redis": {"resources": {"memory": memory}}, "langfuse:patches": [refused]})
    pods = view.pods()
    assert stack.up().exit_code != 0

    stack.configure(before)
    stack.up().ok()

    assert view.pods() == pods


def test_a_new_credential_restarts_only_its_readers(stack: Stack, view: View) -> None:
    expected = view.readers("langfuse-redis")
    assert expected == {"redis", "web", "worker"}
    pods, jobs, values = view.pods(), view.jobs(), view.generated()

    result = stack.up("--replace", stack.urn("random:index/randomPassword:RandomPassword", "langfuse-redis")).ok()

    assert changed_resources(result) == {
        ("RandomPassword", "langfuse-redis"),
        ("Secret", "langfuse-redis"),
        *(("StatefulSet" if name == "redis" else "Deployment", f"langfuse-{name}") for name in expected),
        ("Job", "langfuse-first-start"),
    }
    assert changed(values, view.generated()) == {"langfuse-redis/password"}
    assert changed(pods, view.pods()) == expected
    assert changed(jobs, view.jobs()) == {"first-start"}


def test_a_refresh_shows_outside_changes_and_an_update_reverts_them(stack: Stack, view: View) -> None:
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

    shown = stack.refresh("--yes", "--skip-preview").ok()
    assert drifted(shown) == edited
    mended = stack.up().ok()

    assert changed_resources(mended) == edited
    for (kind, name), item in before.items():
        present = view.get(kind, name)
        assert present.get("spec") == item.get("spec"), (kind, name)
        same_data = present.get("data") == item.get("data")  # outside the assertion: pytest would show the Secret
        assert same_data, (kind, name)


def test_no_credential_is_in_the_state_the_logs_or_the_output(
    sandbox: Sandbox, dev: Stack, stack: Stack, view: View
) -> None:
    """Checks all output so far and the files of the sandbox except etcd's, the store of the cluster itself."""
    shown_state = stack.export("--show-secrets")
    views = (view, View(sandbox, f"langfuse-{dev.name}"))
    known = {name for one in views for name in one.user_names()}
    values = {*secret_texts(json.loads(shown_state)), *(value for one in views for value in one.generated().values())}
    values -= known
    number = len(values)  # pytest shows the values in an assertion
    assert number > 30
    stack.preview("--diff", "--refresh", "--expect-no-changes").ok()
    files = {file: content for file in own_files(sandbox, dev, stack) if (content := text_of(file)) is not None}
    assert sandbox.folder.path / "logs" / "kube-apiserver.log" in files
    texts = {
        "the exported state": stack.export(),
        "what commands print": "\n".join([*dev.printed, *stack.printed]),
        **{str(file): content for file, content in files.items()},
    }

    found = [place for place, text in texts.items() if any(form in text for value in values for form in forms(value))]

    assert found == []
    would_be_found = view.generated()["langfuse-redis/password"] in shown_state
    assert would_be_found


def own_files(sandbox: Sandbox, *stacks: Stack) -> Iterator[Path]:
    """The files of the sandbox except etcd's and those of the states of other stacks."""
    names = {stack.name for stack in stacks}
    for file in sandbox.folder.path.rglob("*"):
        of_a_stack = file.is_relative_to(sandbox.folder.backend)
        if file.is_relative_to(sandbox.folder.etcd) or file.is_symlink() or not file.is_file():
            continue
        if not of_a_stack or names & {part.partition(".")[0] for part in file.parts}:
            yield file


def text_of(file: Path) -> str | None:
    """The content of a file; None if another test has deleted it meanwhile."""
    with suppress(FileNotFoundError):
        return file.read_text(errors="replace")
    return None


@pytest.mark.long
def test_no_credential_is_in_the_state_after_kubectl_apply_and_a_refresh(stack: Stack, view: View) -> None:
    """`kubectl apply` writes the whole object into an annotation, including the data of a Secret."""
    here = ("--namespace", view.namespace)
    secrets = [{**item, "apiVersion": "v1"} for item in view.objects("secrets")]
    view.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": secrets})).ok()
    applied = {
        item["metadata"]["name"] for item in view.objects("secrets") if APPLIED in item["metadata"]["annotations"]
    }
    assert applied == {item["metadata"]["name"] for item in secrets}

    stack.refresh("--yes", "--skip-preview").ok()

    state, values = stack.export(), set(view.generated().values()) - set(view.user_names())
    assert len(values) > 10
    found = [number for number, value in enumerate(values) if any(form in state for form in forms(value))]
    assert found == []
    stack.preview("--expect-no-changes").ok()
    view.kubectl("annotate", *here, "secrets", "--all", f"{APPLIED}-").ok()


def test_destroy_retains_protected_resources_and_says_so(stack: Stack, view: View) -> None:
    stack.configure({"langfuse:protect": True})
    try:
        stack.up().ok()
        everything = view.identities("deployments", "services", *STATEFUL)
        data, values = view.identities("statefulsets", "persistentvolumeclaims"), view.generated()

        refused = stack.destroy()
        assert refused.exit_code != 0
        assert "Traceback" not in refused.output
        assert view.identities("deployments", "services", *STATEFUL) == everything
        named = "\n".join(refused.messages("error"))
        for name in STORES:
            assert f'StatefulSet::langfuse-{name}" cannot be deleted\nbecause it is protected' in named

        partial = stack.destroy("--exclude-protected").ok()
        assert "protected resources associated with this stack" in partial.output
        assert view.objects("deployments") == []
        assert view.identities("statefulsets", "persistentvolumeclaims") == data
    finally:
        stack.configure({"langfuse:protect": None})
        stack.up().ok()
    assert view.identities("statefulsets", "persistentvolumeclaims") == data
    assert changed(values, view.generated()) == set()


def test_destroy_deletes_everything_that_is_not_protected(stack: Stack, view: View) -> None:
    result = stack.destroy().ok()
    assert set(result.changes.values()) == {"delete"}
    assert stack.resources() == []
    gone = view.kubectl("get", "namespace", view.namespace)
    assert "NotFound" in gone.stderr
    volumes = json.loads(view.kubectl("get", "persistentvolumes", "--output=json").ok().stdout)["items"]
    claims = [item["spec"]["claimRef"] for item in volumes]
    assert [claim["name"] for claim in claims if claim["namespace"] == view.namespace] == []
