"""The defaults of a stack: those of its profile over those of its scale, and those of its cluster."""

import json
import re
from collections.abc import Mapping
from typing import get_args
from urllib.parse import urlsplit

from pydantic.alias_generators import to_camel

from components.schema.environment import PROJECT, Settings
from components.schema.values import host_name, instance_name
from components.settings.annotations import field, models
from components.settings.clusters import CLUSTERS, DEFAULT
from components.settings.profiles import PROFILES
from components.settings.scales import SCALES


class UnknownChoiceError(ValueError):
    """The configured profile or scale does not exist, or nothing can be named after the stack."""


def with_defaults(stack: str, config: Mapping[str, object]) -> dict[str, object]:
    """A stack's configuration over its defaults.

    Args:
        stack: The stack's name. It is the name of the profile unless `config` sets one.
        config: The keys that the stack file sets.

    Raises:
        UnknownChoiceError: The profile or the scale does not exist, or the stack's name is not possible.
    """
    profile = _choice("profile", config.get("profile", stack), PROFILES)
    scale = _choice("scale", config.get("scale", PROFILES[profile]["scale"]), SCALES)
    instance = config.get("instance", _instance(stack, config))
    named = {
        "instance": instance,
        "namespace": instance,
        "profile": profile,
        "cluster": _preset(config.get("cluster")),
        **_host_of_public_url(config),
    }
    defaults = _merge(_merge(SCALES[scale], PROFILES[profile]), named)
    return _merge({key: _of_mode(key, value, config.get(key)) for key, value in defaults.items()}, config)


def _preset(cluster: object) -> Mapping[str, object]:
    """The defaults of the configured kind of cluster. None if there is no such kind: validation reports it."""
    name = cluster.get("preset", DEFAULT) if isinstance(cluster, Mapping) else DEFAULT
    return CLUSTERS.get(name, {}) if isinstance(name, str) else {}


def _instance(stack: str, config: Mapping[str, object]) -> str:
    """The name of the installation that follows from the stack's name."""
    name = f"{PROJECT}-{stack}"
    if "instance" not in config:
        try:
            instance_name(name)
        except ValueError as error:
            usable = re.sub(r"[^a-z0-9]+", "-", name.lower())[:54].strip("-")
            raise UnknownChoiceError(
                f'the stack is named {json.dumps(stack)}, and "{name}" {error}; rename the stack, or name the '
                f"installation: pulumi config set {PROJECT}:instance {usable}"
            ) from None
    return name


def _host_of_public_url(config: Mapping[str, object]) -> dict[str, object]:
    """The default of `host`: that of `ingress.publicUrl`, if it is set. Of an impossible URL, validation reports it."""
    ingress = config.get("ingress")
    url = ingress.get("publicUrl") if isinstance(ingress, Mapping) else None
    if url is None:
        return {}
    try:
        return {"host": host_name(urlsplit(str(url)).hostname or "")}
    except ValueError:
        return {"host": "localhost"}


def _choice(key: str, value: object, known: Mapping[str, object]) -> str:
    if not isinstance(value, str) or value not in known:
        raise UnknownChoiceError(
            f"{PROJECT}:{key}: {json.dumps(value)} is not a {key}; choose one of {', '.join(known)}: "
            f"pulumi config set {PROJECT}:{key} {next(iter(known))}"
        )
    return value


def _of_mode(key: str, default: object, configured: object) -> object:
    """Drops the defaults of a store that the configured mode has no keys for."""
    if not isinstance(default, Mapping) or "mode" not in default:
        return default
    mode = configured.get("mode", default["mode"]) if isinstance(configured, Mapping) else default["mode"]
    store = field(Settings, key)
    keys = {
        to_camel(name)
        for model in models(store.annotation if store else None)
        if mode in get_args(model.model_fields["mode"].annotation)
        for name in model.model_fields
    }
    return {name: value for name, value in default.items() if name in keys} | {"mode": mode}


def _merge(base: Mapping[str, object], override: Mapping[str, object]) -> dict[str, object]:
    """Merge maps recursively. Other values, lists among them, are replaced."""
    merged = dict(base)
    for key, value in override.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
