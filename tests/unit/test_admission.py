"""The check of pods before their workload is created: what is asked, and what counts as a refusal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi
import pytest

from components import admission
from components.admission import Admission, pod_of
from components.schema.cluster import Cluster
from tests.http_server import Answer, Request, serving
from tests.unit.network.test_reachability import OPERATED
from tests.unit.operations import test_cluster_identity as identity
from tests.unit.pods import workloads
from tests.unit.program import recorded
from tests.unit.recorder import Registration

FORBIDDEN = 'pods "x" is forbidden: unable to validate against any security context constraint'
WEBHOOK = 'admission webhook "policies.example.com" denied the request: images need a signature'


def args(item: Registration) -> pulumi.ResourceHookArgs:
    return pulumi.ResourceHookArgs("", "", item.name, item.type, new_inputs=item.inputs)


class Answers:
    """Answers the requests in turn, the last one again and again, and records who asked."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = [*answers]
        self.users: list[str | None] = []
        self.pods: list[Mapping[str, Any]] = []

    def __call__(self, _namespace: str, pod: Mapping[str, object], user: str | None) -> tuple[int, str]:
        self.users.append(user)
        self.pods.append(pod)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PAUSE_SECONDS", 0)


def web() -> Registration:
    return recorded("dev").one("Deployment", "langfuse-web")


@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_every_workload_is_checked_when_it_is_created_and_updated(profile: str) -> None:
    for item in workloads(recorded(profile)):
        assert "pods-are-admitted" in item.hooks & item.update_hooks
        answers = Answers((201, ""))
        Admission(Cluster(), answers).check(args(item))
        (pod,) = answers.pods
        names = {volume["name"] for volume in pod["spec"].get("volumes", [])}
        containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        assert {mount["name"] for one in containers for mount in one["volumeMounts"]} <= names


@pytest.mark.parametrize(
    "answer",
    [
        (403, FORBIDDEN),
        (400, WEBHOOK),
        (422, 'Pod "x" is invalid: spec.containers[0].image: denied by the policy "registries"'),
        (500, 'Internal error occurred: failed calling webhook "policies.example.com": context deadline exceeded'),
    ],
)
def test_a_refusal_ends_the_update_with_its_reason(answer: tuple[int, str]) -> None:
    with pytest.raises(
        pulumi.RunError, match=r"^Deployment langfuse-dev/langfuse-web: the cluster refuses its pods: "
    ) as raised:
        Admission(Cluster(), Answers(answer)).check(args(web()))
    assert answer[1] in str(raised.value)


@pytest.mark.parametrize(
    "answer", [(201, ""), (404, 'namespaces "x" not found'), (400, "webhook does not support dry run")]
)
def test_what_cannot_be_judged_is_left_to_the_update(answer: tuple[int, str]) -> None:
    answers = Answers(answer)
    Admission(Cluster(), answers).check(args(web()))
    assert len(answers.users) == 1


def test_a_pod_that_is_admitted_at_last_is_no_refusal() -> None:
    Admission(Cluster(), Answers((500, "failed calling webhook"), (201, ""))).check(args(web()))


def test_it_asks_as_the_controller_and_else_as_itself() -> None:
    denied = (403, 'users "x" is forbidden: User "me" cannot impersonate resource "serviceaccounts"')
    answers = Answers(denied, (201, ""))
    Admission(Cluster(), answers).check(args(web()))
    assert answers.users == ["replicaset-controller", None]
    nobody = Answers((403, 'pods is forbidden: User "me" cannot create resource "pods" in API group ""'))
    Admission(Cluster(), nobody).check(args(web()))


def test_a_full_quota_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    Admission(Cluster(), Answers((403, 'pods "x" is forbidden: exceeded quota: all, used: cpu=8'))).check(args(web()))
    assert "exceeded quota" in said[0]


def test_pods_like_those_of_an_operator_are_tried_and_a_refusal_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    item = recorded("prod", OPERATED).one("Cluster")
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    assert "pods-are-admitted" in item.hooks & item.update_hooks
    answers = Answers((403, FORBIDDEN))
    Admission(Cluster(), answers).check(args(item))
    assert said == [mock.ANY]
    assert said[0].startswith(f"Cluster langfuse-prod/langfuse-postgres: the cluster refuses its pods: {FORBIDDEN}")
    assert {*answers.users} == {None}  # the operator's service account is not known
    (pod, *_) = answers.pods
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == item.inputs["spec"]["resources"]
    assert pod["metadata"]["labels"]["cnpg.io/cluster"] == "langfuse-postgres"
    assert pod["spec"]["securityContext"]["runAsUser"] == 26
    assigned = Answers((201, ""))
    Admission(Cluster(users="namespace"), assigned).check(args(item))
    assert "runAsUser" not in assigned.pods[0]["spec"]["securityContext"]
    assert len(said) == 1


def test_a_message_shows_no_credential() -> None:
    with pytest.raises(pulumi.RunError) as raised:
        Admission(Cluster(), Answers((403, "https://admin:hunter22@policies.example.com said no"))).check(args(web()))
    assert "hunter22" not in str(raised.value)


def test_the_pods_of_a_stateful_set_have_the_volumes_of_its_template() -> None:
    item = recorded("prod").one("StatefulSet", "langfuse-clickhouse")
    pod: Any = pod_of("StatefulSet", item.inputs)
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-langfuse-clickhouse-0"}} in pod["spec"][
        "volumes"
    ]


def test_whole_numbers_are_sent_without_a_fraction() -> None:
    template = {"metadata": {}, "spec": {"containers": [{"ports": [{"containerPort": 3000.0}]}]}}
    pod = pod_of("Deployment", {"metadata": {"name": "web"}, "spec": {"template": template}})
    assert "3000.0" not in json.dumps(pod)


def test_a_secret_in_a_template_is_not_sent() -> None:
    inputs = {
        "metadata": {"name": "x"},
        "spec": {"template": {"metadata": {"annotations": {"a": pulumi.Output.secret("hunter22")}}, "spec": {}}},
    }
    pod: Any = pod_of("Deployment", inputs)
    assert pod["metadata"]["annotations"] == {"a": "secret"}


def test_without_a_cluster_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    Admission(Cluster()).check(args(web()))


def test_the_api_server_is_asked_for_a_dry_run_as_the_controller(tmp_path: Path) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Answer:
        seen.append(request)
        return Answer({"kind": "Status", "message": FORBIDDEN}, status=403)

    with serving(answer) as url, pytest.raises(pulumi.RunError, match="security context constraint"):
        Admission(Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url))).check(args(web()))
    assert {(one.method, one.path) for one in seen} == {("POST", "/api/v1/namespaces/langfuse-dev/pods?dryRun=All")}
    assert {one.headers["Impersonate-User"] for one in seen} == {
        "system:serviceaccount:kube-system:replicaset-controller"
    }
    (container,) = seen[0].body["spec"]["containers"]
    assert (seen[0].body["metadata"]["generateName"], container["name"]) == ("langfuse-web-", "web")


def test_a_pod_that_the_api_server_admits_is_no_refusal(tmp_path: Path) -> None:
    with serving(lambda _: Answer({"kind": "Pod"}, status=201)) as url:
        Admission(Cluster(kubeconfig=identity.kubeconfig(tmp_path, own=url))).check(args(web()))
