"""The configuration reference, drawn from the models that validate stack files."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from components import values
from components.profiles import PROFILES
from components.settings import NAMESPACE, Settings

INTRODUCTION = f"""# Configuration

Every key of a stack file, generated from `components/settings.py` by `make docs`. A stack file states only what
differs from its profile; the profile is the stack's name, or `{NAMESPACE}:profile`. Unknown keys and wrong values are
refused before anything is touched.

```yaml
config:
  {NAMESPACE}:host: langfuse.example.com
  {NAMESPACE}:web:
    replicas: 3
```

or `pulumi config set --path '{NAMESPACE}:web.replicas' 3`.
"""

_DOMAIN = {
    values.ByteQuantity: "bytes, as `50Gi`",
    values.CpuQuantity: "cores, as `500m`",
    values.Version: "exact release",
    values.Host: "host name",
    values.DnsLabel: "Kubernetes name",
    values.Schedule: "cron",
    values.GatewayName: "`namespace/name`",
}


def render() -> str:
    """The reference as Markdown."""
    sections = [INTRODUCTION, "## Top-level keys\n\n" + _table(Settings, ())]
    sections += [
        f"## `{NAMESPACE}:{to_camel(name)}`\n\n{(_model(field).__doc__ or '').strip()}\n\n"
        + _table(_model(field), (to_camel(name),))
        for name, field in Settings.model_fields.items()
        if _is_model(field)
    ]
    return "\n".join(sections)


def _table(model: type[BaseModel], path: tuple[str, ...]) -> str:
    profiles = list(PROFILES)
    head = ["Key", "Type", *(f"`{profile}`" for profile in profiles), "Meaning"]
    rows = [head, ["---"] * len(head)]
    for key, field in _leaves(model, path):
        defaults = [_default(profile, key, field) for profile in profiles]
        rows.append([f"`{'.'.join(key[len(path) :])}`", _type(field), *defaults, field.description or ""])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _leaves(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, field in model.model_fields.items():
        key = (*path, to_camel(name))
        if field.exclude:
            continue
        if not _is_model(field):
            yield key, field
        elif path:
            yield from _leaves(_model(field), key)


def _is_model(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _model(field: FieldInfo) -> type[BaseModel]:
    assert isinstance(field.annotation, type)  # noqa: S101  # asked before
    return field.annotation


def _default(profile: str, key: tuple[str, ...], field: FieldInfo) -> str:
    value: JsonValue = PROFILES[profile]
    for part in key:
        if not isinstance(value, Mapping) or part not in value:
            return "" if field.is_required() or field.default is None else f"`{field.default}`"
        value = value[part]
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(field: FieldInfo) -> str:
    for domain, text in _DOMAIN.items():
        if get_origin(domain) is Annotated and set(field.metadata) & set(get_args(domain)[1:]):
            return text
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    if get_origin(field.annotation) is list:
        return "list"
    names: dict[object, str] = {bool: "true or false", int: "whole number", values.Email: "e-mail"}
    return names.get(field.annotation, "text")
