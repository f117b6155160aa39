"""What a client gets: a key pair, variables and a way to web, and nothing of another client."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
import yaml

from components.client_namespaces import ClientNamespaces
from components.clients.connection import outputs
from components.kubernetes.variables import SecretRef
from components.stores.modes import installation_credentials
from tests.unit.configuration import settings
from tests.unit.packets import Network, Pod
from tests.unit.pods import pod_spec, variables
from tests.unit.program import recorded
from tests.unit.recorder import Recording, Registration
from tests.unit.test_langfuse import changed

GATEWAY: Mapping[str, Any] = {"kind": "litellm", "namespace": "litellm", "environment": "production"}
SEARCH: Mapping[str, Any] = {"kind": "otel", "namespace": "search", "project": {"id": "search", "name": "Search"}}
NOTEBOOKS: Mapping[str, Any] = {"kind": "sdk"}
CLIENTS = {"search": SEARCH, "gateway": GATEWAY, "notebooks": NOTEBOOKS}
WEB = "http://langfuse-web.langfuse-prod.svc:3000"


def stack(clients: Mapping[str, object] = CLIENTS, profile: str = "prod", **config: object) -> Recording:
    return recorded(profile, {"clients": clients, **config})


def inside(recording: Recording, kind: str, namespace: str) -> Registration | None:
    """The only object of a kind in the namespace of a client."""
    found = [item for item in recording.of(kind) if item.inputs["metadata"]["namespace"] == namespace]
    assert len(found) < 2
    return found[0] if found else None


def test_one_job_starts_one_server_after_another_each_with_the_keys_of_one_client() -> None:
    recording = stack()
    job = recording.one("Job", "langfuse-clients")
    spec = pod_spec(job)
    found = [*spec["initContainers"], *spec["containers"]]
    assert [each["name"] for each in found] == ["client-gateway", "client-notebooks", "client-search"]
    assert (len(spec["containers"]), spec["restartPolicy"]) == (1, "Never")
    for each in found:
        name = each["name"].removeprefix("client-")
        own = {item["name"]: item for item in each["env"]}
        for part in ("public-key", "secret-key"):
            variable = own[f"LANGFUSE_INIT_PROJECT_{part.upper().replace('-', '_')}"]
            assert variable["valueFrom"]["secretKeyRef"] == {"name": f"langfuse-client-{name}", "key": part}
        project = "search" if name == "search" else "langfuse-prod-project"
        assert own["LANGFUSE_INIT_PROJECT_ID"]["value"] == project
        assert own["LANGFUSE_INIT_ORG_ID"]["value"] == "langfuse-prod"
        assert own["HOSTNAME"]["value"] == "127.0.0.1"
        assert not any(key.startswith("LANGFUSE_INIT_USER") for key in own), "each start would make the user an owner"
    assert "langfuse-first-start" in job.dependencies
    assert "langfuse-clients" not in recording.one("Deployment", "langfuse-web").dependencies


def test_a_stack_without_clients_has_no_job_for_them() -> None:
    recording = stack({})
    assert [item.name for item in recording if "client" in item.name] == []
    assert recording.outputs["langfuse"].get("clients") is None


def test_a_client_gets_its_keys_after_they_exist_and_its_variables_by_its_kind() -> None:
    recording = stack()
    gateway, search = (inside(recording, "Secret", name) for name in ("litellm", "search"))
    assert gateway
    assert search
    for secret in (gateway, search):
        assert "langfuse-clients" in secret.dependencies  # Langfuse remembers that a key was unknown
        assert "stringData" in secret.secrets or len(secret.secrets) == len(secret.inputs["stringData"])
        assert secret.secret_outputs >= {"metadata", "data", "stringData"}
    assert gateway.inputs["metadata"]["name"] == "langfuse-gateway"
    assert gateway.inputs["stringData"].keys() == {"LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"}
    keys = search.inputs["stringData"]
    kind, _, pair = keys["OTEL_EXPORTER_OTLP_TRACES_HEADERS"].partition("%20")
    assert kind == "Authorization=Basic"
    assert base64.b64decode(pair).decode() == f"{keys['LANGFUSE_PUBLIC_KEY']}:{keys['LANGFUSE_SECRET_KEY']}"
    maps = {name: inside(recording, "ConfigMap", name) for name in ("litellm", "search")}
    assert {name: found and found.inputs["data"] for name, found in maps.items()} == {
        "litellm": {
            "LANGFUSE_BASE_URL": WEB,
            "LANGFUSE_HOST": WEB,
            "LANGFUSE_OTEL_HOST": WEB,
            "LANGFUSE_TRACING_ENVIRONMENT": "production",
        },
        "search": {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{WEB}/api/public/otel/v1/traces",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        },
    }


def stack_secrets(recording: Recording) -> dict[str, Mapping[str, str]]:
    """The Secrets of clients in the namespace of the stack: what the Job reads."""
    return {
        item.name: item.inputs["stringData"]
        for item in recording.of("Secret")
        if item.name.startswith("langfuse-client-") and item.inputs["metadata"]["namespace"] == "langfuse-prod"
    }


def test_the_keys_of_a_client_are_those_that_the_job_creates_and_no_others() -> None:
    recording = stack()
    created = stack_secrets(recording)
    assert created.keys() == {f"langfuse-client-{name}" for name in CLIENTS}
    gateway = inside(recording, "Secret", "litellm")
    assert gateway
    own = created["langfuse-client-gateway"]
    same = {*gateway.inputs["stringData"].values()} == {*own.values()}  # pytest would show the values
    assert same
    values = [value for keys in created.values() for value in keys.values()]
    assert len({*values}) == 2 * len(CLIENTS)
    shown = json.dumps([recording.outputs, [item.inputs for item in recording if item.kind != "Secret"]], default=str)
    assert not any(value in shown for value in values)


def test_a_client_can_be_removed_from_a_protected_stack() -> None:
    removed = {item.name: item for item in stack() if item.custom and item.name not in {it.name for it in stack({})}}
    assert {"langfuse-client-gateway", "langfuse-client-gateway-secret-key", "langfuse-clients"} <= removed.keys()
    assert [name for name, item in removed.items() if item.protect or item.retain_on_delete] == []


def test_a_new_client_changes_nothing_of_the_application_and_a_new_epoch_only_its_own_keys() -> None:
    more = changed(stack({"gateway": GATEWAY}), stack({"gateway": GATEWAY, "notebooks": NOTEBOOKS}))
    keys = {("RandomPassword", f"langfuse-client-notebooks-{part}-key") for part in ("public", "secret")}
    assert more == {*keys, ("Secret", "langfuse-client-notebooks"), ("Job", "langfuse-clients")}
    epoch = {part: {"source": "generated", "epoch": 2} for part in ("publicKey", "secretKey")}
    rotated = changed(stack(), stack({**CLIENTS, "gateway": {**GATEWAY, **epoch}}))
    keys = {("RandomPassword", f"langfuse-client-gateway-{part}-key") for part in ("public", "secret")}
    assert rotated == keys  # the recorder gives the same value; in an update, both Secrets and the Job follow


def test_another_project_gets_another_key_pair() -> None:
    """Redis would keep the former project of a pair as long as the client uses it."""
    for client, keepers in ((GATEWAY, {"project": "langfuse-prod-project"}), (SEARCH, {"project": "search"})):
        value = stack({"app": client}).one("RandomPassword", "langfuse-client-app-secret-key")
        assert value.inputs.get("keepers") == keepers
        assert "keepers" not in value.ignore_changes


def test_external_secrets_fills_both_secrets_and_the_header() -> None:
    store = {"source": "external-secrets", "secretStore": {"name": "vault", "kind": "ClusterSecretStore"}}
    recording = stack(credentials=store)
    copy, own = (
        inside(recording, "ExternalSecret", "search"),
        recording.one("ExternalSecret", "langfuse-client-search-external"),
    )
    assert copy
    assert copy.inputs["metadata"]["name"] == copy.inputs["spec"]["target"]["name"] == "langfuse-search"
    assert copy.inputs["spec"]["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert {one["remoteRef"]["key"] for one in copy.inputs["spec"]["data"]} == {
        one["remoteRef"]["key"] for one in own.inputs["spec"]["data"]
    }
    assert {one["secretKey"] for one in copy.inputs["spec"]["data"]} == {"LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"}
    assert {one.inputs["spec"]["target"]["template"]["type"] for one in (copy, own)} == {"langfuse.com/key-pair"}
    header = copy.inputs["spec"]["target"]["template"]["data"]["OTEL_EXPORTER_OTLP_TRACES_HEADERS"]
    assert header == ('Authorization=Basic%20{{ printf "%s:%s" .LANGFUSE_PUBLIC_KEY .LANGFUSE_SECRET_KEY | b64enc }}')
    assert "langfuse-clients" in copy.dependencies


def test_the_keys_of_an_existing_secret_are_not_copied() -> None:
    keys = {
        "publicKey": {"source": "existing", "secret": "gateway", "key": "PUBLIC"},
        "secretKey": {"source": "existing", "secret": "gateway", "key": "SECRET"},
    }
    recording = stack({"gateway": {**GATEWAY, **keys}})
    assert inside(recording, "Secret", "litellm") is None
    assert inside(recording, "ConfigMap", "litellm") is not None
    (container,) = pod_spec(recording.one("Job", "langfuse-clients"))["containers"]
    assert "LANGFUSE_INIT_PROJECT_PUBLIC_KEY" in variables(container)


MESHES: Mapping[str, Mapping[str, Any]] = {
    "none": {"mode": "none"},
    "ambient": {"mode": "ambient", "outsideClients": ["search"]},
    "sidecar": {"mode": "sidecar", "outsideClients": ["search"]},
}


@pytest.mark.parametrize("mesh", MESHES)
def test_a_client_reaches_web_and_no_store(mesh: str) -> None:
    clients = {**CLIENTS, "gateway": {**GATEWAY, "allowEgress": True}}
    network = Network(stack(clients, mesh=MESHES[mesh]))
    for namespace, meshed in (("litellm", mesh != "none"), ("search", False)):
        pod = Pod("app", {"app": "app"}, namespace=namespace, meshed=meshed)
        assert network.refusal(pod, network.pods["langfuse-web"], 3000) is None
        assert network.refusal(pod, network.pods["langfuse-postgres"], 5432) is not None
        assert network.refusal(pod, network.pods["langfuse-worker"], 3030) is not None
    stranger = Pod("app", {"app": "app"}, namespace="elsewhere", meshed=mesh != "none")
    assert network.refusal(stranger, network.pods["langfuse-web"], 3000) is not None
    # The policy of the client's namespace opens nothing else.
    denied = Pod("api", {"app": "api"}, namespace="search", meshed=False)
    assert network.refusal(Pod("app", {}, namespace="litellm"), denied, 8080) == "the client's egress"


def test_an_environment_states_the_environment_of_spans() -> None:
    recording = stack({"search": {**SEARCH, "environment": "staging"}})
    found = inside(recording, "ConfigMap", "search")
    assert found
    assert found.inputs["data"]["OTEL_RESOURCE_ATTRIBUTES"] == "langfuse.environment=staging"


def lines(**client: object) -> tuple[Mapping[str, Any], list[str]]:
    """The output of a client, and its lines."""
    found = settings({"clients": {"app": client}, "ingestion": {"phase": "dual"}})
    credentials = installation_credentials(found)
    refs = {one.credential.id: SecretRef(name=one.credential.secret, key=one.credential.key) for one in credentials}
    output: Any = outputs(found, refs)["app"]
    return output, output["lines"]


def test_the_lines_of_pods_are_yaml_that_names_the_secret_and_the_config_map() -> None:
    reads = [{"configMapRef": {"name": "langfuse-app"}}, {"secretRef": {"name": "langfuse-app"}}]
    output, own = lines(kind="litellm", namespace="apps")
    assert yaml.safe_load("\n".join(own)) == {
        "litellm_settings": {"callbacks": ["langfuse_otel"]},
        "envFrom": reads,
    }
    assert (output["secret"], output["url"]) == ("langfuse-app", "http://langfuse-web.langfuse-dev.svc:3000")
    for kind in ("sdk", "otel"):
        assert yaml.safe_load("\n".join(lines(kind=kind, namespace="apps")[1])) == {"envFrom": reads}


def test_the_lines_outside_of_the_cluster_read_the_keys_and_name_the_public_address() -> None:
    output, own = lines(kind="sdk", environment="lab")
    assert output["url"] == "https://langfuse.example.com"
    assert "export LANGFUSE_BASE_URL=https://langfuse.example.com" in own
    assert "export LANGFUSE_TRACING_ENVIRONMENT=lab" in own
    read = "kubectl -n langfuse-dev get secret langfuse-client-app -o jsonpath='{.data.secret-key}' | base64 -d"
    assert f'export LANGFUSE_SECRET_KEY="$({read})"' in own


def test_dify_gets_the_values_of_its_form() -> None:
    _, own = lines(kind="dify", namespace="dify")
    assert "Host: http://langfuse-web.langfuse-dev.svc:3000" in own


def test_a_namespace_that_does_not_exist_is_named_with_its_key() -> None:
    recording = stack()
    found = [item for item in recording if "client-namespace-exists" in item.hooks]
    assert {item.inputs["metadata"]["namespace"] for item in found} == {"litellm", "search"}
    asked: list[str] = []

    def check(item: Registration, status: int | None) -> None:
        def answer(path: str) -> int | None:
            asked.append(path)
            return status

        known = settings({"clients": CLIENTS})
        hook = pulumi.ResourceHookArgs("", "", item.name, item.type, new_inputs=item.inputs)
        ClientNamespaces(known, answer).check(hook)

    (item, *_) = (one for one in found if one.inputs["metadata"]["namespace"] == "litellm")
    for status in (200, 403, None):
        check(item, status)
    with pytest.raises(pulumi.RunError) as raised:
        check(item, 404)
    assert str(raised.value) == (
        'langfuse:clients.gateway.namespace: the cluster has no namespace "litellm"; create it (kubectl create '
        "namespace litellm), or correct the name"
    )
    assert {*asked} == {"/api/v1/namespaces/litellm"}
    created = recording.one("Job", "langfuse-clients")
    maps = {one.name for one in found if one.kind == "ConfigMap"}
    assert maps <= created.dependencies, "no server starts before the namespaces are known"
