"""The configuration of one environment, validated whole before anything is registered.

This is the only reader of Pulumi configuration. A stack file states what differs from its profile
(`components/profiles.py`); the merged result is checked here and is plain, frozen values from then on.
"""

import difflib
import json
from collections.abc import Mapping
from typing import Literal, get_args

import pulumi
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from components.profiles import PROFILES
from components.values import ByteQuantity, CpuQuantity, DnsLabel, Email, GatewayName, Host, Schedule, Version

NAMESPACE = "langfuse"
"""The project's name, which prefixes its configuration keys."""


class Model(BaseModel):
    """Frozen, strict, camelCase in stack files, and without unknown keys."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
    )


class Resources(Model):
    """What a container asks for and may use, as Kubernetes quantities."""

    cpu: CpuQuantity = Field(description="CPU request in cores.")
    cpu_limit: CpuQuantity = Field(description="CPU limit in cores.")
    memory: ByteQuantity = Field(description="Memory: the request and the limit.")
    ephemeral_storage: ByteQuantity = Field(default="256Mi", description="Scratch space: the request and the limit.")


class Cluster(Model):
    """Which cluster the stack lives in."""

    context: str | None = Field(default=None, description="kubeconfig context; the current one if not given.")
    kubeconfig: str | None = Field(default=None, description="Path of the kubeconfig; KUBECONFIG if not given.")


class Ingress(Model):
    """How people and SDKs reach the installation."""

    kind: Literal["istio", "none"] = Field(description="`istio`: a VirtualService; `none`: only Services.")
    gateway: GatewayName = Field(description="The Istio Gateway that carries the host, as `namespace/name`.")
    tls: bool = Field(description="Whether the public URL is https.")


class Network(Model):
    """Which pods outside the namespace may come in."""

    web_clients: list[DnsLabel] = Field(
        description="Namespaces whose pods may call web and the object store: the gateway's, and those of SDK clients."
    )


class Application(Model):
    """Settings that web and worker share."""

    log_level: Literal["trace", "debug", "info", "warn", "error", "fatal"] = Field(description="Least level logged.")
    telemetry: bool = Field(description="Whether usage statistics go to the makers of Langfuse.")
    sign_up: bool = Field(description="Whether anyone who reaches the UI may create an account.")


class Workload(Model):
    """A Deployment of the application."""

    replicas: int = Field(ge=1, le=100, description="Number of pods.")
    resources: Resources = Field(description="For each pod. Node's heap is three quarters of the memory.")


class Postgres(Model):
    """The managed Postgres."""

    storage: ByteQuantity = Field(description="Size of the volume.")
    resources: Resources


class ClickHouse(Model):
    """The managed ClickHouse and its Keeper."""

    storage: ByteQuantity = Field(description="Size of the volume.")
    keeper_storage: ByteQuantity = Field(description="Size of Keeper's volume.")
    resources: Resources
    keeper_resources: Resources


class Redis(Model):
    """The managed Valkey."""

    storage: ByteQuantity = Field(description="Size of the volume: at least twice the memory, for AOF rewrites.")
    resources: Resources


class ObjectStore(Model):
    """The managed MinIO."""

    storage: ByteQuantity = Field(description="Size of the volume.")
    resources: Resources
    events_days: int = Field(ge=1, description="Days that raw events are kept.")
    exports_days: int = Field(ge=1, description="Days that batch exports are kept.")


class Backups(Model):
    """Backups into the backups bucket."""

    postgres_schedule: Schedule = Field(description="When Postgres is dumped: cron, UTC.")
    clickhouse_schedule: Schedule = Field(description="When ClickHouse is backed up: cron, UTC.")
    retention_days: int = Field(ge=1, description="Days that a backup is kept.")


class FirstStart(Model):
    """What exists after the first start. Later changes of names are not applied by Langfuse (web/src/initialize.ts)."""

    organization: str = Field(min_length=1, description="Name of the first organization.")
    project: str = Field(min_length=1, description="Name of the first project.")
    owner_email: Email = Field(description="E-mail of the first user, its owner.")
    owner_name: str = Field(min_length=1, description="Name of the first user.")


_STACK = "pulumi:stack"
"""Not a name that a configuration key can have: the stack is not configured."""


class Settings(Model):
    """One environment."""

    model_config = ConfigDict(validate_by_name=False)

    stack: str = Field(exclude=True, validation_alias=_STACK, description="The Pulumi stack.")
    profile: Literal["dev", "staging", "prod", "preview"] = Field(description="Where the defaults come from.")
    host: Host = Field(description="Public host name.")
    version: Version = Field(description="Release of Langfuse.")
    namespace: DnsLabel = Field(description="Kubernetes namespace, made by the stack.")
    protect: bool = Field(description="Whether Pulumi refuses to delete what holds data.")
    cluster: Cluster
    ingress: Ingress
    network: Network
    application: Application
    web: Workload
    worker: Workload
    postgres: Postgres
    clickhouse: ClickHouse
    redis: Redis
    object_store: ObjectStore
    backups: Backups
    first_start: FirstStart

    @property
    def instance(self) -> str:
        """The installation's name: also the prefix of its buckets."""
        return f"{NAMESPACE}-{self.stack}"

    @property
    def public_url(self) -> str:
        """Origin under which people and SDKs reach the installation."""
        return f"{'https' if self.ingress.tls else 'http'}://{self.host}"


class SettingsError(pulumi.RunError):
    """Everything that is wrong with a stack's configuration; Pulumi shows the message without a traceback."""


def load() -> Settings:
    """The running stack's settings.

    Raises:
        SettingsError: naming every bad key, its value, the rule and the fix.
    """
    config: dict[str, object] = {}
    secret: set[str] = set()
    for key, value in pulumi.runtime.config.CONFIG.get().items():
        namespace, _, name = key.partition(":")
        if namespace == NAMESPACE:
            config[name] = value
            if pulumi.runtime.config.is_config_secret(key):
                secret.add(name)
    return parse(pulumi.get_stack(), config, secret=secret)


def parse(stack: str, config: Mapping[str, object], *, secret: set[str] | frozenset[str] = frozenset()) -> Settings:
    """Validate a stack's configuration over its profile's defaults.

    Args:
        stack: The stack's name; the profile's too unless `config` has one.
        config: Keys without the `langfuse:` prefix; values as in the stack file, or as the JSON text that Pulumi
            makes of them.
        secret: Keys whose values must not be shown.
    """
    given = {key: _decode(key, value) for key, value in config.items()}
    profile = given.get("profile", stack)
    if not isinstance(profile, str) or profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise SettingsError(
            f"{NAMESPACE}:profile: {json.dumps(profile)} is not a profile; choose one of {known}: "
            f"pulumi config set {NAMESPACE}:profile dev"
        )
    defaults = {"namespace": f"{NAMESPACE}-{stack}", "profile": profile, "cluster": {}, **PROFILES[profile]}
    try:
        return Settings.model_validate({**_merge(defaults, given), _STACK: stack})
    except ValidationError as error:
        problems = [_explain(detail, secret) for detail in error.errors(include_url=False)]
        heading = f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in the configuration of stack {stack}:"
        raise SettingsError("\n  ".join([heading, *problems])) from None


def _decode(key: str, value: object) -> object:
    """Pulumi hands on maps and booleans as JSON text; text itself stays as it is."""
    field = next((field for name, field in Settings.model_fields.items() if to_camel(name) == key), None)
    if field is None or not isinstance(value, str) or not _is_json(field.annotation):
        return value
    try:
        decoded: object = json.loads(value)
    except ValueError:
        return value
    return decoded


def _is_json(annotation: object) -> bool:
    return annotation is bool or (isinstance(annotation, type) and issubclass(annotation, Model))


def _merge(defaults: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    merged = dict(defaults)
    for key, value in given.items():
        default = merged.get(key)
        merged[key] = _merge(default, value) if isinstance(default, Mapping) and isinstance(value, Mapping) else value
    return merged


_RULES = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "string_type": 'must be text: put it in quotes, as in "50Gi"',
    "model_type": "must be a map of keys",
    "missing": "is required: set it in the stack file",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "string_too_short": "must not be empty",
}


def _explain(detail: ErrorDetails, secret: set[str] | frozenset[str]) -> str:
    """One problem as `langfuse:key.path: value rule; fix`."""
    path = [str(part) for part in detail["loc"]]
    key = f"{NAMESPACE}:{'.'.join(path)}"
    if detail["type"] == "extra_forbidden":
        return f"{key}: is not a known key{_suggestion(path)}"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("value ")
    rule = _RULES.get(detail["type"], message.replace("{", "{{").replace("}", "}}")).format(**detail.get("ctx", {}))
    if detail["type"] == "missing":
        return f"{key}: {rule}"
    value = "[secret]" if path[0] in secret else json.dumps(detail["input"], default=str)
    return f"{key}: {value} {rule}"


def _suggestion(path: list[str]) -> str:
    """The known key that was probably meant, and the others that stand beside it."""
    model: type[BaseModel] = Settings
    for part in path[:-1]:
        annotation = next(field.annotation for name, field in model.model_fields.items() if to_camel(name) == part)
        model = next(
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        )
    keys = [to_camel(name) for name, field in model.model_fields.items() if not field.exclude]
    close = difflib.get_close_matches(path[-1], keys, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; the keys here are {', '.join(keys)}"
