"""Reads the models of the configuration: keys, types, defaults. Used by the reference, the schema and the example."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from components.schema import image_settings, targets, values
from components.schema.environment import PROJECT, Settings
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES

DOMAINS: Mapping[str, str] = {
    "ByteQuantity": "bytes, such as `50Gi`",
    "CpuQuantity": "cores, such as `500m`",
    "Version": "exact release",
    "StoreVersion": "exact release",
    "Host": "host name",
    "ServerHost": "host name or IP address",
    "DnsLabel": "Kubernetes name",
    "FieldPath": "path, such as `spec.template.spec.tolerations`",
    "NamespaceName": "Kubernetes name",
    "InstanceName": "prefix of bucket names",
    "LabelKey": "label key",
    "LabelValue": "label value",
    "Schedule": "cron, UTC",
    "ScheduleOrNever": "cron, UTC, or `never`",
    "GatewayName": "`namespace/name`",
    "HttpUrl": "server URL",
    "Pem": "PEM certificates",
    "BucketName": "bucket name",
    "Name": "name",
    "Email": "e-mail",
    "SecretName": "name of a Secret",
    "SecretKey": "key of a Secret",
    "Duration": "duration, such as `30m`",
    "Url": "URL",
    "IpAddress": "IP address",
    "NetworkRange": "range, such as `203.0.113.0/24`",
    "ProxyException": "host, domain or range, such as `.example.com`",
    "DnsRange": "range, such as `10.96.0.10/32`",
    "IpRange": "range, such as `10.0.12.0/24`",
    "TargetHost": "host name",
    "Registry": "registry, or a path in one",
    "Repository": "repository",
    "TagSuffix": "end of a tag",
    "Digest": "SHA-256 digest",
}
"""Readable names of the types in `components/schema/`. Other types show their own names."""

COMPUTED = {
    ("profile",): "the stack's name",
    ("instance",): f"`{PROJECT}-<stack>`",
    ("namespace",): "the value of `instance`",
}
"""Defaults that `components/settings/load.py` computes, by path."""


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key of a stack file."""

    name: str
    owner: type[BaseModel]
    """The model that declares the key: the model itself or one of its base classes."""
    annotation: object
    """Its type, with its `Annotated` metadata."""
    description: str
    required: bool
    """Whether the model has no default. A profile or a scale may have one."""
    default: object
    examples: tuple[object, ...]

    @property
    def models(self) -> tuple[type[BaseModel], ...]:
        """The models that the value, or each of its items, can be an instance of."""
        return tuple(_models(self.annotation))

    @property
    def container(self) -> str:
        """`list`, `map`, or an empty string."""
        for part in alternatives(self.annotation):
            if get_origin(part) in {list, dict}:
                return "list" if get_origin(part) is list else "map"
        return ""


def keys(model: type[BaseModel]) -> Iterator[Key]:
    """The keys of a model in order, under their names in stack files."""
    for name, field in model.model_fields.items():
        if not field.exclude:
            yield Key(
                name=str(field.alias),
                owner=next(one for one in model.__mro__ if name in vars(one).get("__annotations__", {})),
                annotation=_annotation(field),
                description=field.description or "",
                required=field.is_required(),
                default=field.get_default(call_default_factory=True),
                examples=tuple(field.examples or ()),
            )


def _annotation(field: FieldInfo) -> object:
    bare = field.annotation
    for extra in field.metadata:
        bare = Annotated[bare, extra]  # type: ignore[assignment]  # a type made at run time
    return bare


def alternatives(annotation: object) -> Iterator[object]:
    """The members of a union, each with its `Annotated` metadata, without None."""
    if get_origin(annotation) is Annotated:
        inner, *extras = get_args(annotation)
        for part in alternatives(inner):
            rebuilt = part
            for extra in extras:
                rebuilt = Annotated[rebuilt, extra]
            yield rebuilt
    elif get_origin(annotation) in {Union, UnionType}:
        for part in get_args(annotation):
            yield from alternatives(part)
    elif annotation is not type(None):
        yield annotation


def unannotated(annotation: object) -> object:
    """A type without its `Annotated` metadata."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def metadata_of(annotation: object) -> tuple[object, ...]:
    """The `Annotated` metadata of a type."""
    own = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return tuple(part for extra in own for part in (extra.metadata if isinstance(extra, FieldInfo) else [extra]))


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    for part in alternatives(annotation):
        kind = unannotated(part)
        if get_origin(kind) in {list, dict}:
            yield from _models(get_args(kind)[-1])
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind


def discriminator(model: type[BaseModel]) -> tuple[str, str] | None:
    """The key and the value that select this model in a union, such as `mode` and `managed`."""
    for key in keys(model):
        choices = get_args(key.annotation) if get_origin(key.annotation) is Literal else ()
        if key.required and len(choices) == 1:
            return key.name, str(choices[0])
    return None


def domain(annotation: object) -> str | None:
    """The name of a type in `values.py`, `targets.py` or `image_settings.py` of `components/schema/`."""
    own = {extra for extra in metadata_of(annotation) if isinstance(extra, AfterValidator)}
    for name, known in {**vars(values), **vars(targets), **vars(image_settings)}.items():
        validators = {extra for extra in metadata_of(known) if isinstance(extra, AfterValidator)}
        if validators and validators <= own:
            return name
    return "Email" if unannotated(annotation) is values.Email else None


def type_text(annotation: object) -> str:
    """A readable name of a type."""
    return " or ".join(dict.fromkeys(_text(part) for part in alternatives(annotation)))


def _text(annotation: object) -> str:
    kind = unannotated(annotation)
    name = domain(annotation)
    plain: Mapping[object, str] = {bool: "true or false", str: "text", int: _range(metadata_of(annotation))}
    if name:
        text = DOMAINS.get(name, name)
    elif get_origin(kind) is Literal:
        text = ", ".join(f"`{choice}`" for choice in get_args(kind))
    elif kind == list[dict[str, object]]:
        text = "list of maps"
    elif get_origin(kind) is list:
        text = f"list: {type_text(get_args(kind)[0])}"
    elif get_origin(kind) is dict:
        text = f"map: {type_text(get_args(kind)[1])}"
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        text = "map"
    else:
        text = plain.get(kind, "any value")
    return text


def _range(constraints: tuple[object, ...]) -> str:
    low = minimum(constraints)
    high = next((item.le for item in constraints if isinstance(item, Le)), None)
    if high is not None and low is not None:
        return f"{low} to {high}"
    return "whole number" if low is None else f"whole number, {low} or more"


def minimum(constraints: tuple[object, ...]) -> int | None:
    """The smallest integer that the metadata of a type allows."""
    for item in constraints:
        if isinstance(item, Ge):
            return int(str(item.ge))
        if isinstance(item, Gt):
            return int(str(item.gt)) + 1
    return None


def stack_file_default(profile: str, path: tuple[str, ...]) -> JsonValue:
    """The default of a key in a profile or in its scale. None if neither has one."""
    for source in (PROFILES[profile], SCALES[str(PROFILES[profile]["scale"])]):
        value: JsonValue = source
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


def is_set(value: object) -> bool:
    """Whether a default is worth showing: not None, not empty, and not a model."""
    return not (value is PydanticUndefined or value is None or isinstance(value, BaseModel) or value in ([], {}))


def required_keys() -> Mapping[str, set[str]]:
    """The keys without a default in the model, in any profile and in any scale, by model."""
    found: dict[str, set[str]] = defaultdict(set)
    for model, path in _places(Settings, ()):
        found[model.__name__] |= set()
        choice = discriminator(model)
        for key in keys(model):
            at = (*path, key.name)
            defaults = [stack_file_default(profile, at) for profile in PROFILES]
            chosen = choice is not None and choice[0] == key.name
            provided = choice[1] in defaults if choice and chosen else any(item is not None for item in defaults)
            if key.required and not provided and at not in COMPUTED:
                found[model.__name__].add(key.name)
    return found


def _places(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[type[BaseModel], tuple[str, ...]]]:
    """Every model with its path in a stack file."""
    yield model, path
    for key in keys(model):
        for part in key.models:
            yield from _places(part, (*path, key.name, *([""] if key.container else [])))
