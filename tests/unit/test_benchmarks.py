import io
import json
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import events_pb2, events_pb2_grpc
from rich.console import Console

from benchmarks import commands
from benchmarks.commands import BenchmarkError, run
from benchmarks.events import Events, listening
from benchmarks.figures import OPERATIONS, SUBJECTS, Figures, Summary, ratios, verdicts
from benchmarks.programs import USAGE_VARIABLE
from benchmarks.report import Setting, as_json, show
from benchmarks.rounds import next_patch, order
from benchmarks.state import (
    SECRET,
    SIGNATURE,
    SKIP_AWAIT,
    Json,
    Resource,
    identity,
    longest_chain,
    manifests,
    plan,
    resources,
)

CHECKOUT = Path(__file__).parents[2]
PREFIX = "urn:pulumi:dev::langfuse::"


def kubernetes(kind: str, name: str, *after: str, annotations: Json | None = None) -> Resource:
    metadata: Json = {"name": name, **({"annotations": annotations} if annotations else {})}
    return Resource(
        urn=f"{PREFIX}{name}",
        type=f"kubernetes:apps/v1:{kind}",
        inputs={"apiVersion": "apps/v1", "kind": kind, "metadata": metadata},
        dependencies=tuple(f"{PREFIX}{needed}" for needed in after),
    )


def durations(**seconds: float) -> dict[str, float]:
    return {f"{PREFIX}{name}": value for name, value in seconds.items()}


def exported(*inputs: Json, kind: str = "kubernetes:core/v1:Secret") -> dict[str, object]:
    listed = [
        {"urn": f"{PREFIX}{number}", "type": kind, "custom": True, "inputs": item} for number, item in enumerate(inputs)
    ]
    return {"deployment": {"resources": listed}}


class TestState:
    def test_components_and_providers_are_left_out(self) -> None:
        state = exported({"length": 8}, kind="random:index/randomBytes:RandomBytes")
        deployment = state["deployment"]
        assert isinstance(deployment, dict)
        deployment["resources"] += [
            {"urn": f"{PREFIX}a", "type": "pulumi:providers:random", "custom": True},
            {"urn": f"{PREFIX}b", "type": "langfuse:index:Web"},
        ]
        assert [found.kind for found in resources(state)] == ["RandomBytes"]

    def test_nested_secrets_are_replaced_by_their_values(self) -> None:
        secret: Json = {SIGNATURE: SECRET, "plaintext": json.dumps({"key": "value"})}
        inner: Json = {SIGNATURE: SECRET, "plaintext": '"text"'}
        found = resources(exported({"data": secret, "list": [{"a": inner}], "__defaults": []}))
        assert found[0].inputs == {"data": {"key": "value"}, "list": [{"a": "text"}]}

    def test_a_state_exported_without_secrets_is_refused(self) -> None:
        with pytest.raises(ValueError, match="--show-secrets"):
            resources(exported({"data": {SIGNATURE: SECRET, "ciphertext": "v1:abc"}}))

    def test_manifests_are_moved_to_the_requested_namespace(self) -> None:
        space = kubernetes("Namespace", "old")
        web = Resource(
            "web",
            "kubernetes:apps/v1:Deployment",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "old"}},
            (),
        )
        password = Resource("password", "random:index/randomPassword:RandomPassword", {"length": 8}, ())
        moved = manifests([space, web, password], "new")
        assert [manifest["metadata"] for manifest in moved] == [
            {"name": "new"},
            {"name": "web", "namespace": "new"},
        ]
        assert web.inputs["metadata"] == {"name": "web", "namespace": "old"}

    def test_objects_of_two_kinds_with_one_name_have_different_identities(self) -> None:
        service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
        route: Json = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "web"},
        }
        assert identity(service) == ("service", "web")
        assert identity(route) == ("virtualservice.networking.istio.io", "web")

    def test_a_plan_has_every_object_and_random_value_except_the_namespace(self) -> None:
        password = Resource("password", "random:index/randomPassword:RandomPassword", {"length": 8}, ())
        found = plan(
            [kubernetes("Namespace", "a"), password, kubernetes("Job", "b")], [kubernetes("Job", "b")], "space"
        )
        assert [item.type for item in found.objects] == ["kubernetes:apps/v1:Job"]
        assert found.random == (("RandomPassword", {"length": 8}),)
        assert found.objects[0].before["metadata"] == {
            "name": "b",
            "namespace": "space",
            "annotations": {SKIP_AWAIT: "true"},
        }

    def test_only_edited_objects_count_as_changed(self) -> None:
        def config(name: str, value: str) -> Resource:
            inputs: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}
            return Resource(name, "kubernetes:core/v1:ConfigMap", inputs, ())

        before = [config("same", "1"), config("edited", "1"), config("removed", "1")]
        found = plan(before, [config("same", "1"), config("edited", "2"), config("new", "1")], "space")
        assert [item.before == item.after for item in found.objects] == [True, False, True]

    def test_a_changed_job_has_another_name(self) -> None:
        def job(image: str) -> Resource:
            inputs: Json = {"kind": "Job", "metadata": {"name": "a"}, "spec": {"image": image}}
            return Resource("a", "kubernetes:batch/v1:Job", inputs, ())

        same, changed = (plan([job("1")], [job(image)], "space").objects[0].after for image in ("1", "2"))
        assert same["metadata"] == {"name": "a", "namespace": "space", "annotations": {SKIP_AWAIT: "true"}}
        assert changed["metadata"] == {"name": "a-next", "namespace": "space", "annotations": {SKIP_AWAIT: "true"}}

    def test_a_plan_contains_no_secret_value(self) -> None:
        secret: Json = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "a"},
            "data": {"key": "aHVudGVyMg=="},
            "stringData": {"key": "hunter2-hunter2"},
        }
        found = plan([Resource("a", "kubernetes:core/v1:Secret", secret, ())], [], "space")
        assert found.objects[0].before["data"] == {"key": "A" * 12}
        assert "hunter2" not in repr(found)

    def test_resources_without_a_plain_equivalent_are_refused(self) -> None:
        bucket = Resource("bucket", "aws:s3/bucket:Bucket", {}, ())
        with pytest.raises(ValueError, match="aws"):
            plan([bucket], [], "space")


class TestLongestChain:
    def test_the_longest_chain_is_the_slowest(self) -> None:
        found = [
            kubernetes("ConfigMap", "plain"),
            kubernetes("StatefulSet", "slow", "plain"),
            kubernetes("StatefulSet", "a"),
            kubernetes("Job", "b", "a"),
            kubernetes("Deployment", "c", "b"),
            kubernetes("Deployment", "web", "slow"),
        ]
        chain = longest_chain(found, durations(plain=1.0, slow=9.0, a=2.0, b=2.0, c=2.0, web=3.0))
        assert chain.links == (("slow", 8.0), ("web", 2.0))
        assert chain.seconds == 10.0

    def test_a_resource_without_await_adds_no_time_and_stays_part_of_the_chain(self) -> None:
        found = [
            kubernetes("ConfigMap", "plain"),
            kubernetes("StatefulSet", "store"),
            kubernetes("Service", "skipped", "store", annotations={"pulumi.com/skipAwait": "true"}),
            kubernetes("Deployment", "web", "skipped"),
        ]
        chain = longest_chain(found, durations(plain=1.0, store=3.0, skipped=1.0, web=3.0))
        assert [name for name, _ in chain.links] == ["store", "web"]

    def test_a_wait_is_never_negative(self) -> None:
        found = [kubernetes("ConfigMap", "plain"), kubernetes("Job", "fast")]
        assert longest_chain(found, durations(plain=2.0, fast=1.0)).seconds == 0.0

    def test_a_stack_without_waits_has_an_empty_chain(self) -> None:
        assert longest_chain([], {}).links == ()


class TestEvents:
    def test_a_step_lasts_from_its_first_start_to_its_last_end(self) -> None:
        events = Events()
        for kind, now in (("resourcePreEvent", 1.0), ("resourcePreEvent", 2.0), ("resOutputsEvent", 5.0)):
            events.record({kind: {"metadata": {"urn": "a"}}}, now)
        events.record({"resourcePreEvent": {"metadata": {"urn": "unfinished"}}}, 6.0)
        assert events.durations == {"a": 4.0}

    def test_unchanged_resources_are_not_counted(self) -> None:
        events = Events()
        events.record({"summaryEvent": {"resourceChanges": {"same": 100, "update": 2, "replace": 1}}}, 1.0)
        assert events.changed == 3

    def test_events_are_received_over_grpc(self) -> None:
        with listening() as (address, events):
            channel = grpc.insecure_channel(address.removeprefix("tcp://"))
            sent = {"summaryEvent": {"resourceChanges": {"create": 7}}}
            events_pb2_grpc.EventsStub(channel).StreamEvents(iter([events_pb2.EventRequest(event=json.dumps(sent))]))
            channel.close()
        assert events.changes == {"create": 7}


class TestCommands:
    def test_cpu_time_is_that_of_the_command(self, tmp_path: Path) -> None:
        def cpu(code: str) -> float:
            return run((sys.executable, "-c", code), folder=tmp_path, environment={}).cost.cpu

        spin = "import time\nwhile time.process_time() < 0.3: pass"
        assert cpu(spin) >= 0.3
        assert cpu("") < cpu(spin)

    def test_a_failure_shows_the_last_lines_of_output(self, tmp_path: Path) -> None:
        with pytest.raises(BenchmarkError, match="exited with 3:\n    said"):
            run((sys.executable, "-c", "print('said'); exit(3)"), folder=tmp_path, environment={})

    def test_a_failure_does_not_show_private_output(self, tmp_path: Path) -> None:
        with pytest.raises(BenchmarkError) as caught:
            run((sys.executable, "-c", "print('sa' + 'id'); exit(3)"), folder=tmp_path, environment={}, is_private=True)
        assert "said" not in str(caught.value)

    def test_a_command_that_times_out_is_killed_with_its_children(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commands, "TIMEOUT_SECONDS", 1.0)
        pipe = tmp_path / "pipe"
        child = f"import time; file = open({str(pipe)!r}, 'w'); time.sleep(60)"
        parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
        subprocess.run(["mkfifo", str(pipe)], check=True)  # noqa: S607  # the system's
        closed = threading.Event()

        def read() -> None:
            pipe.read_bytes()  # returns when no process holds the other end open
            closed.set()

        threading.Thread(target=read, daemon=True).start()
        with pytest.raises(BenchmarkError, match="timed out after 1 s"):
            run((sys.executable, "-c", parent), folder=tmp_path, environment={})
        assert closed.wait(10)


class TestPrograms:
    def test_a_program_reports_the_cpu_time_of_its_process(self, tmp_path: Path) -> None:
        file = tmp_path / "usage.json"
        code = "from benchmarks.programs import run; run('empty')"
        subprocess.run(
            [sys.executable, "-c", code], check=True, cwd=CHECKOUT, env={USAGE_VARIABLE: str(file), "PATH": ""}
        )
        usage = json.loads(file.read_text())
        assert 0 < usage["started"] <= usage["declared"] <= usage["ended"]


class TestFigures:
    def test_a_summary_shows_the_range_of_several_samples(self) -> None:
        assert Summary.of([3.0, 1.0, 2.0]).text() == "2.0 (1.0-3.0)"
        assert Summary.of([2.0]).text(2) == "2.00"

    def test_a_summary_without_samples_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="nothing was measured"):
            Summary.of([])

    def test_ratios_compare_samples_of_one_round(self) -> None:
        assert ratios([2.0, 20.0], [1.0, 10.0]) == Summary(2.0, 2.0, 2.0)

    @pytest.mark.parametrize(
        ("no_op", "first", "cpu", "met"),
        [
            (1.15, 1.3, 1.5, [True, True, True]),
            (1.16, 1.3, 1.5, [False, True, True]),
            (1.15, 1.31, 1.5, [True, False, True]),
            (1.15, 1.3, 1.51, [True, True, False]),
        ],
    )
    def test_each_aim_is_judged_by_its_own_figures(
        self, no_op: float, first: float, cpu: float, met: list[bool]
    ) -> None:
        found = verdicts(figures(no_op=no_op, first=first, cpu=cpu))
        assert [verdict.is_met for verdict in found] == [*met, True, True, True, True]

    def test_each_round_begins_with_another_subject(self) -> None:
        assert order("abc", 0) == ["a", "b", "c"]
        assert {order("abc", number)[0] for number in range(3)} == {"a", "b", "c"}
        assert all(sorted(order("abc", number)) == ["a", "b", "c"] for number in range(4))

    def test_the_next_patch_version_is_numeric(self) -> None:
        assert next_patch("4.16.9") == "4.16.10"


class TestReport:
    SETTING = Setting(cores=2, load=1.5, rounds=1, python="3.11", plugins={"random": "4 (stand-in)"}, tools={})

    def test_the_table_shows_every_operation_and_verdict(self) -> None:
        console = Console(file=io.StringIO(), width=200)
        show(figures(no_op=2.0), self.SETTING, console)
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        assert "random 4 (stand-in)" in text
        assert all(words in text for words in [*OPERATIONS.values(), *SUBJECTS.values()])
        assert text.count("missed") == 1

    def test_a_loaded_machine_is_detected(self) -> None:
        assert self.SETTING.is_loaded
        assert not Setting(cores=2, load=1.0, rounds=1, python="", plugins={}, tools={}).is_loaded

    def test_the_json_report_has_every_sample(self) -> None:
        found = json.loads(json.dumps(as_json(figures(no_op=2.0), self.SETTING)))
        assert found["wallSeconds"]["dev"]["no-op"] == [20.0]
        assert [verdict["isMet"] for verdict in found["verdicts"]] == [False, *[True] * 6]


def figures(*, no_op: float = 1.0, first: float = 1.0, cpu: float = 1.0) -> Figures:
    """One round whose bare program takes ten seconds, with a chain that waits five."""
    found = Figures()
    links = [
        kubernetes("ConfigMap", "plain"),
        kubernetes("Job", "slow"),
    ]
    found.chains.append(longest_chain(links, durations(plain=0.0, slow=5.0)))
    for subject in SUBJECTS:
        for operation in OPERATIONS:
            found.wall[subject, operation] = [10.0]
            found.cpu[subject, operation] = [1.0]
    found.wall["dev", "no-op"] = [10.0 * no_op]
    found.wall["dev", "first"] = [10.0 * first + 5.0]
    for subject in ("dev", "bare", "least", "empty"):
        found.program |= {(subject, phase): [0.5] for phase in ("started", "declared", "ended")}
    found.program["dev", "ended"] = [0.5 + cpu]
    found.program["prod", "evaluation"] = [1.0]
    found.previews = {
        "prod": [4.0],
        "prod with empty packs": [4.7],
        "prod with packs": [4.9],
        "environments in turn": [9.0],
        "environments at once": [6.0],
    }
    found.sandbox = {"start": [5.0], "restart": [2.0], "idle memory": [700.0], "memory": [800.0]}
    return found
