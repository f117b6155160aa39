"""`docs/examples/every-key.yaml`: every key of a stack file, with a comment and a value that is right."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from components.schema.environment import PROJECT, Settings
from tools.docs.fields import (
    Key,
    alternatives,
    bare,
    chooser,
    domain,
    extras,
    is_set,
    keys,
    least,
    stack_file_default,
    type_text,
)
from tools.docs.schema import FILE

Path = tuple[str, ...]
Seen = set[tuple[str, str]]

PROFILE: Final = "prod"
"""Of the example: its defaults are the values that are shown."""

WIDTH: Final = 120

INTRODUCTION: Final = f"""# yaml-language-server: $schema=../../stacks/{FILE}
# Every key that there is, with a value. It is no stack to deploy: a real one states only what differs from its profile
# and scale. Written by `make docs`; the defaults are in docs/configuration.md. A block that is commented out with `#`
# alone is an alternative to the one above it: a store that runs elsewhere, for example.
config:
"""

CERTIFICATE: Final = """-----BEGIN CERTIFICATE-----
MIIBszCCAVmgAwIBAgIUEXAMPLEONLYexampleonlyEXAMPLEONLY0wCgYIKoZI
-----END CERTIFICATE-----
"""

BY_TYPE: Final[Mapping[str, object]] = {
    "ByteQuantity": "50Gi",
    "CpuQuantity": "500m",
    "Version": "4.16.0",
    "StoreVersion": "17.10",
    "Host": "langfuse.example.com",
    "DnsLabel": "langfuse-example",
    "NamespaceName": "langfuse-example",
    "Schedule": "15 2 * * *",
    "GatewayName": "istio-system/public",
    "HttpUrl": "https://s3.example.com",
    "BucketName": "example-langfuse",
    "Name": "langfuse",
    "Pem": CERTIFICATE,
    "Email": "platform@example.com",
    "SecretName": "langfuse-credentials",
    "SecretKey": "VALUE",
    "Duration": "1h",
    "Url": "https://sso.example.com",
    "IpAddress": "10.0.12.7",
    "NetworkRange": "0.0.0.0/0",
    "DnsRange": "169.254.20.10/32",
    "IpRange": "10.0.12.0/24",
    "TargetHost": "litellm.gateway.svc.cluster.local",
}

BY_KEY: Final[Mapping[str, object]] = {
    "profile": PROFILE,
    "cluster.context": "production",
    "cluster.kubeconfig": "~/.kube/config",
    "cluster.storageClass": "encrypted",
    "ingress.bucketHost": "files.example.com",
    "ingestion.writeMode": "dual",
    "ingestion.otelBehaviour": "dual_write",
    "ingestion.previewOptIn": True,
    "ingestion.historicBackfill": False,
    "web.autoscaling.minReplicas": 2,
    "web.autoscaling.maxReplicas": 6,
    "worker.autoscaling.minReplicas": 2,
    "worker.autoscaling.maxReplicas": 8,
    "postgres.host": "postgres.example.com",
    "postgres.directHost": "postgres-direct.example.com",
    "postgres.directPort": 5433,
    "signIn.providers.authentik.issuer": "https://sso.example.com/application/o/langfuse",
    "clickhouse.host": "clickhouse.example.com",
    "clickhouse.version": "26.4.5.143",
    "redis.host": "redis.example.com",
    "redis.version": "8.1.10",
    "redis.nodes": ["sentinel-0.example.com:26379", "sentinel-1.example.com:26379", "sentinel-2.example.com:26379"],
    "redis.masterName": "langfuse",
    "redis.port": 6379,
    "objectStore.region": "eu-central-1",
    "objectStore.kmsKeyId": "arn:aws:kms:eu-central-1:111122223333:key/example",
    "objectStore.identityAnnotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/langfuse"},
    "objectStore.publicEndpoint": "https://files.example.com",
    "objectStore.buckets.events": "example-langfuse-events",
    "objectStore.buckets.media": "example-langfuse-media",
    "objectStore.buckets.exports": "example-langfuse-exports",
    "objectStore.buckets.backups": "example-langfuse-backups",
    "firstStart.organization": "Example",
    "firstStart.ownerEmail": "platform@example.com",
    "firstStart.projectRetentionDays": 90,
    "credentials.source": "external-secrets",
    "extraEnv": {
        "LANGFUSE_S3_CONCURRENT_WRITES": {"value": "100"},
        "LANGFUSE_EXAMPLE": {"secret": "langfuse-extra", "key": "EXAMPLE", "insist": True},
    },
    "patches": [
        {
            "kind": "Deployment",
            "name": "langfuse-web",
            "patch": {"spec": {"template": {"spec": {"priorityClassName": "important"}}}},
        }
    ],
}
"""Values that tell more than those by type. A key whose model has `examples` needs none."""

ALTERNATIVES: Final = {"ingress.bucketHost", "signIn.providers.workos.connectionId"}
"""Keys that are commented out, since they exclude one that is shown, or another mode of it."""


def render() -> str:
    """The example as YAML."""
    seen: Seen = set()
    return INTRODUCTION + "\n\n".join("\n".join(_top_level(key, seen)) for key in keys(Settings)) + "\n"


def _top_level(key: Key, seen: Seen) -> Iterator[str]:
    """A key as the example's profile has it, then its alternatives, commented out."""
    name = f"{PROJECT}:{key.name}"
    models = sorted(key.models, key=lambda model: not _is_default(model, key.name))
    yield from _block(key, models[0] if models else None, (key.name,), name, seen)
    for model in models[1:]:
        yield ""
        yield from (f"  #{line[2:]}" for line in _block(key, model, (key.name,), name, seen))


def _is_default(model: type[BaseModel], name: str) -> bool:
    choice = chooser(model)
    return choice is not None and stack_file_default(PROFILE, (name, choice[0])) == choice[1]


def _block(key: Key, model: type[BaseModel] | None, path: Path, name: str, seen: Seen) -> Iterator[str]:
    """A key with its comment, and what is in it.

    Args:
        key: What is known about it.
        model: The one that its value is of, if it is of one.
        path: Where it stands.
        name: As it is written.
        seen: Keys of nested models that were explained: from then on only what they require is shown.
    """
    indent = "  " * len(path)
    if len(path) == 1 or _mark(key) not in seen:
        new = len(path) == 1 or (model is not None and (model.__name__, "") not in seen)
        yield from _comment(key, model if new else None, f"{indent}# ")
        if model:
            seen.add((model.__name__, ""))
    value = _value(key, path)
    if model is None or value is not None:
        yield from textwrap.indent(_yaml({name: value}), indent).splitlines()
        return
    yield f"{indent}{name}:"
    inside = list(keys(model))
    choice = dict([chooser(model) or ("", "")])
    if len(path) > 1:
        inside = [inner for inner in inside if inner.required or _mark(inner) not in seen] or inside
    for number, inner in enumerate(inside):
        at = (*path, inner.name)
        if inner.name in choice:
            yield f"{indent}  {inner.name}: {choice[inner.name]}"
            continue
        # Of several models each has its turn, so that all of them are seen.
        turn = inner.models[number % len(inner.models)] if inner.models else None
        lines = _block(inner, turn, at, inner.name, seen)
        yield from (_commented(line) for line in lines) if ".".join(at) in ALTERNATIVES else lines
        if len(path) > 1:
            seen.add(_mark(inner))


def _commented(line: str) -> str:
    return line if line.lstrip().startswith("#") else f"{line[: -len(line.lstrip())]}#{line.lstrip()}"


def _mark(key: Key) -> tuple[str, str]:
    return key.owner.__name__, key.name


def _comment(key: Key, model: type[BaseModel] | None, start: str) -> Iterator[str]:
    said = [key.description]
    if not key.description or (model and len(key.models) > 1):
        said += [" ".join((one.__doc__ or "").split()) for one in (model, *key.models[:1]) if one][:1]
    if model and key.container:
        said += [f"`{inner.name}`: {inner.description}" for inner in keys(model)]
    if any(get_origin(bare(part)) is Literal for part in alternatives(key.annotation)):
        said.append(f"One of {type_text(key.annotation)}.")
    yield from textwrap.wrap(" ".join(filter(None, said)), WIDTH, initial_indent=start, subsequent_indent=start)


def _value(key: Key, path: Path) -> object:
    """What a key is shown with; None for a model, whose keys are shown instead."""
    own = next(iter(key.examples), BY_KEY.get(".".join(path)))
    if own is not None or key.models:
        return own
    default = stack_file_default(PROFILE, path)
    if default is not None:
        return default
    return key.default if is_set(key.default) else _sample(key.annotation)


def _sample(annotation: object) -> object:
    """A value of a type."""
    part = next(alternatives(annotation))
    name = domain(part)
    if name:
        return BY_TYPE[name]
    kind = bare(part)
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) is list:
        return [_sample(get_args(kind)[0])]
    if get_origin(kind) is dict:
        return {"example": _sample(get_args(kind)[1])}
    samples: Mapping[object, object] = {bool: False, int: least(extras(part)) or 1, str: "example"}
    return samples[kind]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=WIDTH)
