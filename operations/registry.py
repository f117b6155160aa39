"""Asks registries for digests of images (opencontainers/distribution-spec; distribution, docs/spec/auth/token.md)."""

import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests

from components.schema.policy_library import DIGEST
from operations.errors import OperationError

TIMEOUT_SECONDS: Final = (5, 30)
ACCEPTED: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
"""An index first: its digest is the same for all architectures."""

DOCKER_HUB: Final = "docker.io"
SERVERS: Final[Mapping[str, str]] = {DOCKER_HUB: "registry-1.docker.io"}
HUB_ENTRIES: Final = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""Names of Docker Hub in files with credentials."""

IDENTITY_TOKEN: Final = "<token>"  # noqa: S105  # not a token itself
"""The user name whose password is a token of the registry's own sign-in, such as Azure's (docker/cli, cli/config)."""

HELPER_SECONDS: Final = 30
"""For a credential helper, which may ask a service of a cloud."""


@dataclass(frozen=True)
class Credentials:
    """User names and passwords by registry, or by path in one."""

    entries: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of_docker(cls, text: str, source: str) -> "Credentials":
        """Those in the format of Docker's config.json, which pull secrets have too. Entries without a login are none.

        Raises:
            OperationError: It is not in that format. The message has nothing of its content.
        """
        try:
            found = json.loads(text).get("auths") or {}
            return cls({_entry(name): _login(entry) for name, entry in found.items() if _has_login(entry)})
        except (ValueError, AttributeError, KeyError, TypeError, binascii.Error):
            raise OperationError(f"{source} is not in the format of Docker's config.json; create it again") from None

    def __or__(self, other: "Credentials") -> "Credentials":
        """Both. Those of `other` take precedence."""
        return Credentials({**self.entries, **other.entries})

    def of(self, repository: str) -> tuple[str, str] | None:
        """User name and password for a repository: of the longest path that contains it, as the kubelet chooses."""
        paths = [path for path in self.entries if f"{repository}/".startswith(f"{path}/")]
        return self.entries[max(paths, key=len)] if paths else None


def of_this_machine(registries: Collection[str]) -> Credentials:
    """Those of `docker login`, from its file or from the credential helpers that the file names.

    Args:
        registries: Only helpers for these are asked.

    Raises:
        OperationError: The file is not in the format of Docker.
    """
    folder = os.environ.get("DOCKER_CONFIG")
    file = (Path(folder) if folder else Path.home() / ".docker") / "config.json"
    try:
        text = file.read_text()
    except OSError:
        return Credentials()
    known, content = Credentials.of_docker(text, str(file)), json.loads(text)
    helpers = {_entry(name): helper for name, helper in (content.get("credHelpers") or {}).items()}
    asked = {name: _of_helper(helpers.get(name) or content.get("credsStore"), name) for name in registries}
    return known | Credentials({name: login for name, login in asked.items() if login})


def _of_helper(helper: object, registry: str) -> tuple[str, str] | None:
    """What a credential helper has for a registry (github.com/docker/docker-credential-helpers).

    One that is missing or does not answer has nothing, as for Docker: a public image needs no credentials.
    """
    if not isinstance(helper, str):
        return None
    server = "https://index.docker.io/v1/" if registry == DOCKER_HUB else registry
    command = [f"docker-credential-{helper}", "get"]
    try:
        answer = subprocess.run(
            command, input=server, capture_output=True, text=True, timeout=HELPER_SECONDS, check=True
        )
        entry = json.loads(answer.stdout)
        return str(entry["Username"]), str(entry["Secret"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def digest(name: str, credentials: Credentials) -> str:
    """The digest that the registry answers for an image.

    Args:
        name: Its name with the registry and the tag.
        credentials: For registries that ask for them.

    Raises:
        OperationError: The registry can't be reached, refuses the request, or has no such image.
    """
    repository, _, tag = name.rpartition(":")
    registry, _, path = repository.partition("/")
    server = SERVERS.get(registry, registry)
    url = f"{'http' if _is_local(server) else 'https'}://{server}/v2/{path}/manifests/{tag}"
    try:
        with requests.Session() as session:
            session.trust_env = True
            return _digest(session, url, credentials.of(repository))
    except requests.RequestException as error:
        raise OperationError(
            f"{name}: registry {registry} can't be reached ({type(error).__name__}); check the network, or set "
            "langfuse:images.registry or images.registries to a mirror"
        ) from None
    except _RefusedError as error:
        raise OperationError(f"{name}: {error}") from None


class _RefusedError(Exception):
    """What the registry refused, and what to do."""


def _digest(session: requests.Session, url: str, login: tuple[str, str] | None) -> str:
    headers = {"Accept": ACCEPTED}
    answer = session.head(url, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=True)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        headers["Authorization"] = _authorization(session, url, answer.headers.get("WWW-Authenticate", ""), login)
        answer = session.head(url, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=True)
    found = answer.headers.get("Docker-Content-Digest", "")
    if answer.ok and not found:  # the header is optional
        answer = session.get(url, headers=headers, timeout=TIMEOUT_SECONDS)
        found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise _RefusedError("the registry has no such image; check the release, or copy the image to the mirror")
    if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise _RefusedError(
            f"the registry refused the {'credentials' if login else 'request without credentials'}; set "
            "langfuse:images.pullSecrets, or run `docker login`"
        )
    if not answer.ok:
        raise _RefusedError(f"the registry answered with status {answer.status_code}; try again later")
    if not DIGEST.fullmatch(found):
        raise _RefusedError("the registry answered with something that is not a SHA-256 digest; check its address")
    return found


def _authorization(session: requests.Session, url: str, challenge: str, login: tuple[str, str] | None) -> str:
    """The header that the challenge of a registry asks for."""
    scheme, _, rest = challenge.partition(" ")
    if scheme.lower() == "basic" and login:
        return _basic(login)
    values = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = values.get("realm", "")
    if scheme.lower() != "bearer" or not realm:
        raise _RefusedError("the registry asks for credentials; set langfuse:images.pullSecrets, or run `docker login`")
    if urlsplit(realm).scheme != "https" and not _is_local(urlsplit(url).netloc):
        raise _RefusedError("the registry wants the credentials without TLS; refused")
    parameters = {name: values[name] for name in ("service", "scope") if name in values}
    if login and login[0] == IDENTITY_TOKEN:  # distribution, docs/spec/auth/oauth.md
        form = {
            **parameters,
            "grant_type": "refresh_token",
            "refresh_token": login[1],
            "client_id": "langfuse-operations",
        }
        answer = session.post(realm, data=form, timeout=TIMEOUT_SECONDS)
    else:
        headers = {"Authorization": _basic(login)} if login else {}
        answer = session.get(realm, params=parameters, headers=headers, timeout=TIMEOUT_SECONDS)
    if not answer.ok:
        raise _RefusedError(
            f"the registry's token service answered with status {answer.status_code}; check the credentials of "
            "langfuse:images.pullSecrets or of `docker login`"
        )
    try:
        token = answer.json()
        return f"Bearer {token.get('token') or token['access_token']}"
    except (ValueError, KeyError, AttributeError):
        raise _RefusedError("the registry's token service sent no token; check the registry's address") from None


def _basic(login: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def _is_local(server: str) -> bool:
    """Whether a registry is on this machine: such a one needs no TLS, as for Docker."""
    return server.partition(":")[0] in {"localhost", "127.0.0.1"}


def _entry(name: str) -> str:
    """The registry or path of an entry: `https://index.docker.io/v1/` is Docker Hub."""
    bare = re.sub(r"^https?://", "", name).rstrip("/").removesuffix("/v1").removesuffix("/v2")
    return DOCKER_HUB if bare in HUB_ENTRIES else bare


def _has_login(entry: Mapping[str, str]) -> bool:
    """Whether an entry has a login. Where a credential helper has it, the entry is empty."""
    return any(entry.get(key) for key in ("auth", "username", "password", "identitytoken"))


def _login(entry: Mapping[str, str]) -> tuple[str, str]:
    if entry.get("identitytoken"):
        return IDENTITY_TOKEN, entry["identitytoken"]
    if "auth" in entry:
        user, _, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        return user, password
    return entry["username"], entry["password"]
