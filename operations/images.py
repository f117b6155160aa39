"""Locks the images of a stack: looks up their digests and writes them into the lock file."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from components.schema.environment import PROJECT, Settings
from components.settings import image_lock
from components.settings.load import SettingsError, parse
from components.stores.images import all_images
from operations import registry
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Json, Pulumi
from operations.registry import Credentials

STORES: Final = ("postgres", "clickhouse", "redis", "objectStore")
NAMES: Final = ("instance", "namespace", "host")
KEYS: Final = ("profile", "scale", "version", *NAMES, *STORES, "images", "ingress", "mesh", "network")
"""The configuration that images follow from, and what is checked together with it. Everything else may be incomplete,
or encrypted."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """The new digest of an image."""

    name: str
    before: str | None
    after: str


def lock(pulumi: Pulumi) -> list[Change]:
    """Look up the digest of each image of a stack, and write the lock file. Images of other stacks stay in it.

    Returns:
        The images whose digest is new or another one.

    Raises:
        OperationError: A digest could not be looked up. The file then stays as it is.
    """
    settings = _settings(pulumi)
    return _lock(pulumi, settings, sorted({settings.images.named(original) for original in all_images(settings)}))


def lock_another(pulumi: Pulumi, original: str) -> list[Change]:
    """Look up the digest of an image that the stack will run, if its other images are in the lock file.

    Args:
        pulumi: The stack.
        original: The name and tag of the original image.

    Raises:
        OperationError: As for `lock`.
    """
    settings, known = _settings(pulumi), image_lock.read()
    name = settings.images.named(original)
    is_locked = any(settings.images.named(one) in known for one in all_images(settings))
    return _lock(pulumi, settings, [name]) if is_locked and name not in known else []


def _lock(pulumi: Pulumi, settings: Settings, names: Sequence[str]) -> list[Change]:
    """Look up images, and add their digests to the lock file."""
    credentials = registry.of_this_machine({name.partition("/")[0] for name in names})
    for secret in settings.images.pull_secrets:
        credentials |= _of_secret(pulumi, settings.namespace, secret)
    found, problems = {}, []
    for name in names:
        try:
            found[name] = registry.digest(name, credentials)
        except OperationError as error:
            problems.append(str(error))
    if problems:
        raise OperationError("\n  ".join([f"{len(problems)} of {len(names)} images could not be locked:", *problems]))
    known = image_lock.read()
    image_lock.write({**known, **found})
    return [Change(name=name, before=known.get(name), after=after) for name, after in found.items()]


def _settings(pulumi: Pulumi) -> Settings:
    """The settings with everything that images follow from."""
    given = {key: value for key, value in _plain(pulumi.settings()) if key in KEYS}
    if isinstance(images := given.get("images"), dict):
        given["images"] = {key: value for key, value in images.items() if key != "digests"}
    given["credentials"] = {"source": "existing", "secret": "langfuse-credentials"}
    try:
        return parse(pulumi.stack, given)
    except SettingsError as error:
        raise OperationError(str(error)) from None


def _plain(settings: Json) -> Iterator[tuple[str, object]]:
    """The configuration keys that are not encrypted."""
    for key, value in settings.items():
        if not (isinstance(value, Mapping) and "secure" in value):
            yield key.removeprefix(f"{PROJECT}:"), value


def _of_secret(pulumi: Pulumi, namespace: str, name: str) -> Credentials:
    from operations.cluster import Cluster  # noqa: PLC0415  # takes a second to import

    source = f"langfuse:images.pullSecrets: Secret {name} in namespace {namespace}"
    secret = Cluster.of(pulumi).get(named_object("v1", "Secret", name, namespace))
    text = ((secret or {}).get("data") or {}).get(".dockerconfigjson")
    if text is None:
        raise OperationError(
            f"{source} {'has no key .dockerconfigjson' if secret else 'does not exist'}; create it with "
            "`kubectl create secret docker-registry`"
        )
    return Credentials.of_docker(base64.b64decode(text).decode(errors="replace"), source)
