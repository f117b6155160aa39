"""The container of the migration Job that checks the stores."""

from __future__ import annotations

from typing import Any

from tests.unit.pods import container, variables
from tests.unit.program import recorded

EXTERNAL: dict[str, Any] = {
    "postgres": {"mode": "external", "host": "db.example.org", "pooler": True, "directHost": "direct.example.org"},
    "redis": {
        "mode": "external",
        "host": "redis.example.org",
        "ca": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
    },
    "objectStore": {
        "mode": "external",
        "region": "eu-central-1",
        "buckets": {purpose: f"example-{purpose}" for purpose in ("events", "media", "exports", "backups")},
        "identity": "workload",
        "identityAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/langfuse"},
    },
    "credentials": {"source": "existing", "secret": "langfuse-credentials"},
    "extraEnv": {
        "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
        "HTTPS_PROXY": "http://proxy.example.org:3128",
        "LANGFUSE_TRACING": "x",
    },
}


def test_it_has_the_variables_of_the_worker_for_the_stores_and_no_other_secret() -> None:
    recording = recorded("dev")
    check = variables(container(recording.one("Job", "langfuse-migrations"), "stores"))
    worker = variables(container(recording.one("Deployment", "langfuse-worker")))
    own = {"DIRECT_URL", "HOME", "MANAGED_STORES", "NAMESPACE", "NODE_OPTIONS", "STORE_CHECKS", "WAIT_SECONDS"}
    own |= {"LANGFUSE_VERSION", "MINIMUM_POSTGRES", "MINIMUM_REDIS"}
    public = {"LANGFUSE_S3_BATCH_EXPORT_EXTERNAL_ENDPOINT"}
    shared = check.keys() - own - public
    assert {name: check[name] for name in shared} == {name: worker[name] for name in shared}
    assert len(shared) > 25
    assert not {"SALT", "ENCRYPTION_KEY"} & check.keys()


def test_external_stores_are_reached_as_the_worker_reaches_them() -> None:
    extra = {name: value for name, value in EXTERNAL["extraEnv"].items() if name != "LANGFUSE_TRACING"}
    recording = recorded("dev", {**EXTERNAL, "extraEnv": extra})
    job = recording.one("Job", "langfuse-migrations")
    check = container(job, "stores")
    given = variables(check)
    assert given["NODE_EXTRA_CA_CERTS"] == "/etc/ca.pem"
    assert given["HTTPS_PROXY"] == "http://proxy.example.org:3128"
    assert "direct.example.org" in given["DIRECT_URL"]
    assert given["REDIS_TLS_CA_PATH"] in {f"{mount['mountPath']}/redis.pem" for mount in check["volumeMounts"]}
    assert given["MANAGED_STORES"] == "clickhouse"
    account = recording.one("ServiceAccount", "langfuse-migrations")
    assert account.inputs["metadata"]["annotations"] == EXTERNAL["objectStore"]["identityAnnotations"]


def test_it_runs_after_every_store_is_ready() -> None:
    job = recorded("dev").one("Job", "langfuse-migrations")
    assert {"langfuse-postgres", "langfuse-redis", "langfuse-object-store-provisioning"} <= job.dependencies


def test_an_update_can_go_on_in_spite_of_a_failed_check() -> None:
    recording = recorded("dev", {"application": {"storeChecks": "report"}})
    assert variables(container(recording.one("Job", "langfuse-migrations"), "stores"))["STORE_CHECKS"] == "report"
