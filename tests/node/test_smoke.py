"""`operations smoke` and `operations clients` on pods: green end to end, and the right hop for each fault."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest

from tests.engine.harness import Result
from tests.engine.view import View
from tests.node import jobs
from tests.node.contents import Contents
from tests.node.shapes import Installation

pytestmark = [pytest.mark.long, pytest.mark.node, pytest.mark.sandbox, pytest.mark.timeout(1800)]

WEB_PORT: Final = 3000
APPS: Final = "apps-smoke"
DENY: Final = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": APPS},
    "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]},
}
"""As teams write it: names are resolved, and nothing else leaves the namespace."""


@pytest.fixture
def web(dev: Installation) -> Iterator[str]:
    """An address of web on this machine."""
    command = ("port-forward", "--namespace", dev.view.namespace, "service/langfuse-web", f":{WEB_PORT}")
    with subprocess.Popen(
        [dev.view.sandbox.folder.bin / "kubectl", *command, "--address=127.0.0.1"],
        env=dev.view.sandbox.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as forward:
        assert forward.stdout
        said = forward.stdout.readline()
        assert "->" in said, said
        yield f"http://127.0.0.1:{said.split(' -> ')[0].rpartition(':')[2]}"
        forward.kill()


Fault = tuple[str, str, Callable[[], object], Callable[[], object]]


def test_smoke_is_green_and_each_fault_is_red_with_its_hop(dev: Installation, web: str) -> None:
    def smoke(only: str | None = None) -> Result:
        return dev.operate("smoke", options=["--url", web, *(["--only", only] if only else [])])

    green = smoke()
    assert green.exit_code == 0, green.output
    assert " passed" in green.output
    contents = Contents(dev.view)
    assert int(contents.clickhouse("SELECT count() FROM probe_events FINAL WHERE name = 'langfuse-check'")) == 0

    for hop, only, breaks, mends in faults(dev, contents):
        breaks()
        try:
            red = smoke(only)
        finally:
            mends()
        assert (red.exit_code, hop in red.output, "to do: " in red.output) == (1, True, True), (hop, red.output)
    dev.wait_until_ready()
    assert smoke("not queues").exit_code == 0


def delete_keys(contents: Contents) -> None:
    contents.psql("CREATE TABLE kept_keys AS TABLE api_keys", "DELETE FROM api_keys")
    forget_keys(contents)


def restore_keys(contents: Contents) -> None:
    contents.psql("INSERT INTO api_keys TABLE kept_keys", "DROP TABLE kept_keys")
    forget_keys(contents)


def forget_keys(contents: Contents) -> None:
    """Remove them from the cache, with what it knows of keys that do not exist."""
    script = "for _, key in ipairs(redis.call('KEYS', '*api-key:*')) do redis.call('DEL', key) end"
    contents.valkey(contents.primary(), "EVAL", script, "0")


def delete_bucket(contents: Contents) -> None:
    bucket = contents.bucket("exports")
    with contents.object_store() as client:
        for one in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=one["Key"])
        client.delete_bucket(Bucket=bucket)


def provision(contents: Contents) -> None:
    done = jobs.again(contents.view, "object-store-provisioning", "provision-again")
    assert done.succeeded, done.log


def fill(contents: Contents) -> None:
    pod = contents.pods("redis")[0]
    *_, size, _, _, _, _ = contents.run(pod, "valkey", "df", "-P", "/data").split()
    contents.run(pod, "valkey", "fallocate", "--length", str(int(size) * 1024 * 9 // 10), "/data/fill")


def empty(contents: Contents) -> None:
    contents.run(contents.pods("redis")[0], "valkey", "rm", "/data/fill")


def faults(dev: Installation, contents: Contents) -> list[Fault]:
    """For each: how the report begins, the tests that see it, and what breaks and mends it."""
    view, namespace = dev.view, dev.view.namespace

    def kubectl(*words: str, stdin: str = "") -> Callable[[], object]:
        return lambda: view.kubectl("--namespace", namespace, *words, stdin=stdin).ok()

    def removed(policy: str) -> tuple[Callable[[], object], Callable[[], object]]:
        found = view.get("networkpolicy", policy)
        kept = {key: found["metadata"][key] for key in ("name", "namespace", "labels")}
        manifest = json.dumps({**found, "metadata": kept})
        return kubectl("delete", "networkpolicy", policy), kubectl("apply", "--filename=-", stdin=manifest)

    mode = ("set", "env", "deployment/langfuse-worker")
    suspend = ("patch", "cronjob", "langfuse-backup-postgres", "--type=merge", "--patch")
    rollout = kubectl("rollout", "status", "deployment/langfuse-worker", "--timeout=55s")

    def changed(*words: str) -> Callable[[], object]:
        def change() -> None:
            kubectl(*words)()
            rollout()

        return change

    return [
        ("disk: ", "volumes", partial(fill, contents), partial(empty, contents)),
        ("key: ", "trace_is_accepted", partial(delete_keys, contents), partial(restore_keys, contents)),
        ("network: ", "reaches_every_store", *removed("langfuse-allow-redis-ingress")),
        ("DNS: ", "reaches_every_store", *removed("langfuse-allow-dns-egress")),
        ("bucket: ", "bucket", partial(delete_bucket, contents), partial(provision, contents)),
        (
            "backup: ",
            "backups",
            kubectl(*suspend, '{"spec":{"suspend":true}}'),
            kubectl(*suspend, '{"spec":{"suspend":false}}'),
        ),
        (
            "write mode: ",
            "phase_says",
            changed(*mode, "LANGFUSE_MIGRATION_V4_WRITE_MODE=dual"),
            changed(*mode, "LANGFUSE_MIGRATION_V4_WRITE_MODE=events_only"),
        ),
        (
            "read back: ",
            "trace_is_accepted and otel",
            kubectl("scale", "deployment/langfuse-worker", "--replicas=0"),
            changed("scale", "deployment/langfuse-worker", "--replicas=1"),
        ),
    ]


@contextmanager
def connected(dev: Installation) -> Iterator[View]:
    """A client in a namespace of its own."""
    apps = View(dev.view.sandbox, APPS)
    apps.kubectl("create", "namespace", APPS).ok()
    clients = {
        "gateway": {"kind": "litellm", "namespace": APPS, "environment": "tests"},
        "search": {"kind": "otel", "namespace": APPS, "project": {"id": "search", "name": "Search"}},
    }
    dev.stack.configure({"langfuse:clients": clients})
    try:
        dev.stack.up().ok()
        yield apps
    finally:
        dev.stack.configure({"langfuse:clients": None})
        dev.stack.up().ok()
        apps.kubectl("delete", "namespace", APPS, "--wait=false").ok()


def test_clients_are_listed_checked_from_their_namespace_and_locked_out(dev: Installation) -> None:
    def check(name: str) -> tuple[int, dict[str, Any]]:
        done = dev.operate("clients", "check", name, options=["--json"])
        assert done.stdout.strip(), done.output
        return done.exit_code, json.loads(done.stdout)[-1]

    with connected(dev) as apps:
        listed = json.loads(dev.operate("clients", "list", options=["--json"]).ok().stdout)
        assert [(one["name"], one["secret"], one["config_map"], one["keys"]) for one in listed] == [
            ("gateway", True, True, "exist"),
            ("search", True, True, "exist"),
        ]
        for name in ("gateway", "search"):
            code, last = check(name)
            assert (code, last["hop"], last["outcome"]) == (0, "clean up", "ok"), last

        apps.kubectl("apply", "--filename=-", stdin=json.dumps(DENY)).ok()
        code, last = check("gateway")
        assert (code, last["hop"]) == (1, "network"), last
        assert "langfuse:clients.gateway.allowEgress" in last["fix"]
        closed = {**DENY, "spec": {**DENY["spec"], "egress": []}}  # type: ignore[dict-item]
        apps.kubectl("apply", "--filename=-", stdin=json.dumps(closed)).ok()
        code, last = check("gateway")
        assert (code, last["hop"]) == (1, "DNS"), last
        apps.kubectl("delete", "--namespace", APPS, "networkpolicy", "deny").ok()

        revoked = dev.operate("clients", "revoke", "gateway", options=["--yes"]).ok()
        assert "deleted the key pair pk-lf-" in revoked.output
        code, last = check("gateway")
        assert (code, last["hop"]) == (1, "key"), last
        assert check("search")[0] == 0
        assert apps.objects("jobs", "pods") == []
