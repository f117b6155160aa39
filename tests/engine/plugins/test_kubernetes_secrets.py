"""No secret value is in plain text in the state, in messages or in errors."""

from __future__ import annotations

import base64

import pytest

from tests.engine.harness import Json, Result
from tests.engine.kube import ClusterProgramFactory, Kube, at

pytestmark = pytest.mark.long

PASSWORD = "correct-horse-battery"  # noqa: S105  # a value to look for
FORMS = (PASSWORD, base64.b64encode(PASSWORD.encode()).decode())


def shows(text: str) -> bool:
    return any(form in text for form in FORMS)


def seen(result: Result) -> str:
    return result.output + "".join(map(str, result.events))


def test_secrets_are_always_encrypted_in_the_state(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    program = on_cluster(f"""
        plain = k8s.core.v1.Secret("plain", metadata=meta("plain"), string_data={{"key": "{PASSWORD}"}})
        k8s.core.v1.Secret("encoded", metadata=meta("encoded"), data={{"key": "{FORMS[1]}"}})
        value = pulumi.Output.secret("{PASSWORD}")
        k8s.core.v1.ConfigMap("cm", metadata=meta("cm"), data={{"key": value, "open": "in the open"}})
        k8s.core.v1.Pod("pod", metadata=meta("pod", annotations={{"pulumi.com/skipAwait": "true"}}), spec={{
            "containers": [{{"name": "main", "image": "image:1", "env": [{{"name": "KEY", "value": value}}]}}]}})
        pulumi.export("data", plain.data)
    """)
    for step in (program.preview, program.up, program.refresh, program.up):
        result = step().ok()
        assert not shows(seen(result)), step.__name__
    state = program.export()
    assert not shows(state)
    assert "in the open" in state
    assert program.outputs() == {"data": {"key": FORMS[1]}}
    secret, cm = kube.get("v1", "Secret", "plain", namespace), kube.get("v1", "ConfigMap", "cm", namespace)
    assert at(secret, "data") == {"key": FORMS[1]}
    assert at(cm, "data") == {"key": PASSWORD, "open": "in the open"}


def test_annotations_of_kubectl_apply_are_secret_if_the_program_marks_the_metadata(
    on_cluster: ClusterProgramFactory, kube: Kube, namespace: str
) -> None:
    applied = f'{{"data": {{"key": "{FORMS[1]}"}}}}'
    metadata: Json = {"name": "theirs", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}}
    theirs: Json = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"key": FORMS[1]}}
    kube.create(theirs, namespace)
    source = """
        opts = pulumi.ResourceOptions(OPTIONS)
        k8s.core.v1.Secret.get("read", "NAMESPACE/theirs", opts=opts)
        k8s.core.v1.Secret("ours", metadata=meta("ours"), string_data={"key": "VALUE"}, opts=opts)
    """.replace("VALUE", PASSWORD)
    program = on_cluster(source.replace("OPTIONS", ""))
    program.up().ok()
    kube.edit({**theirs, "metadata": {"annotations": metadata["annotations"]}}, "ours", namespace)
    program.refresh().ok()
    assert shows(program.export())  # otherwise the rest would prove nothing
    program.write(source.replace("OPTIONS", 'additional_secret_outputs=["metadata"]'))
    for step in (program.up, program.refresh, program.up):
        step().ok()
        assert not shows(program.export()), step.__name__


def test_a_refused_object_leaves_no_secret_in_the_state(on_cluster: ClusterProgramFactory) -> None:
    """The message of the API server may quote the object."""
    program = on_cluster(f"""
        value = pulumi.Output.secret("{PASSWORD}!")
        k8s.core.v1.ConfigMap("label", metadata=meta("label", labels={{"key": value}}))
        k8s.core.v1.Secret("data", metadata=meta("data"), data={{"key": value}})
        k8s.core.v1.Secret("name", metadata=meta("UPPER"), string_data={{"key": value}})
    """)
    for step in (program.preview, program.up):
        result = step()
        assert result.exit_code != 0
        assert any("Invalid value" in message for message in result.messages("error"))
    assert not shows(program.export())
