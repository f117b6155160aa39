"""`extraEnv`: environment variables of Langfuse that no configuration key sets.

`data/langfuse-env-<major>.json` lists the names that web and worker of a release read; `python -m tools.langfuse_env`
writes it from Langfuse's sources. Under `newer` it lists names
that later releases are known to read. A name in neither list is probably misspelt. If the configured release is later
than the listed one, the name may be new: the variable is set, with a warning.
"""

import difflib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

from components.application.variable_keys import DESCRIPTIONS, owner
from components.kubernetes.variables import Environment, SecretRef
from components.schema.environment import Settings
from components.schema.extensions import Variable
from components.schema.values import release

Program = Literal["web", "worker"]

_DATA = Path(__file__).parent / "data"

READ_BY_LIBRARIES = {
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS", "TZ", "no_proxy"),
    *("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"),
    *("DD_DOGSTATSD_HOST", "DD_DOGSTATSD_PORT"),
}
"""Names that Node, its HTTP clients, the AWS SDK and dd-trace read, in web and in worker."""

_CONNECTION_PREFIXES = ("AWS_", "CLICKHOUSE_", "LANGFUSE_S3_", "LANGFUSE_USE_", "NODE_", "REDIS_")
"""Variables that change how Langfuse connects to stores, in addition to those of a proxy."""

_CREDENTIAL = re.compile(
    r"(?!AUTH_.*_ID_TOKEN$|AUTH_DISABLE_|NEXT_PUBLIC_)"
    r".*(PASSWORD|PASSPHRASE|SECRET|TOKEN|SALT|CREDENTIALS?|CONNECTION_(STRING|URL)|(^|_)KEY|ACCESS_KEY_ID|_WEBHOOK|_AUTH)"
)
_URL_WITH_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/@:]*:[^\s/@]+@")


@cache
def names(version: str, program: Program) -> frozenset[str]:
    """The names that web or worker of a release is known to read."""
    listed = _listed(version)
    later = listed.get("newer", {}).get(program, []) if is_later_than_listed(version) else []
    return frozenset(listed[program]) | frozenset(later) | READ_BY_LIBRARIES


def is_later_than_listed(version: str) -> bool:
    """Whether a release may read names that are not in the list."""
    return release(version) > release(_listed(version)["version"])


@cache
def _listed(version: str) -> dict[str, Any]:
    major = release(version)[0]
    found: dict[str, Any] = json.loads((_DATA / f"langfuse-env-{major}.json").read_text())
    return found


def extra_environment(settings: Settings, program: Program) -> Environment:
    """The variables for one program: those that it reads, and those with `insist`."""
    return {
        name: SecretRef(name=variable.secret, key=variable.key)
        if variable.secret and variable.key
        else variable.value or ""
        for name, variable in settings.extra_env.items()
        if variable.insist or name in names(settings.version, program) or _may_be_new(name, settings.version)
    }


def connection_variables(settings: Settings) -> Environment:
    """The variables for the worker that change how it connects to the stores. The check of the stores has them too."""
    found = extra_environment(settings, "worker").items()
    return {
        name: value for name, value in found if name.startswith(_CONNECTION_PREFIXES) or name.lower().endswith("_proxy")
    }


def _known(version: str) -> frozenset[str]:
    """The names that at least one of web and worker of a release is known to read."""
    return names(version, "web") | names(version, "worker")


def _may_be_new(name: str, version: str) -> bool:
    return is_later_than_listed(version) and name not in _known(version)


def extra_variables_are_valid(settings: Settings) -> Iterator[str]:
    """A check of `extraEnv`. It shows no values: they may be credentials."""
    for name, variable in settings.extra_env.items():
        if error := _value_error(name, variable) or _name_error(name, variable, settings):
            yield f"extraEnv.{name}: {error}"


def extra_variables_are_known(settings: Settings) -> Iterator[str]:
    """A warning about names that only a release later than the listed one can read."""
    for name, variable in settings.extra_env.items():
        if not variable.insist and _may_be_new(name, settings.version):
            yield f"extraEnv.{name}: {_unknown(name, settings.version)}, or add `insist: true` if it is correct"


def _value_error(name: str, variable: Variable) -> str | None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return "is not the name of a variable: letters, digits and '_'"
    if variable.value is None and not (variable.secret and variable.key):
        return "has no value; set a text, or `secret` and `key`"
    if variable.value is not None and (variable.secret or variable.key):
        return "has a value and a Secret; set only one of them"
    if variable.value is not None and (_CREDENTIAL.fullmatch(name) or _URL_WITH_PASSWORD.search(variable.value)):
        return "is a credential that everybody who reads pods can see; put it into a Secret, and set `secret` and `key`"
    return None


def _name_error(name: str, variable: Variable, settings: Settings) -> str | None:
    if variable.insist:
        return None
    key, version = owner(name, settings), settings.version
    if key:
        is_key = key not in DESCRIPTIONS
        where, fix = (f"langfuse:{key}", "change that key") if is_key else (key, "remove it")
        return f"is set by {where}; {fix}, or add `insist: true`"
    if name not in _known(version) and not is_later_than_listed(version):
        return f"{_unknown(name, version)}, or add `insist: true`"
    return None


def _unknown(name: str, version: str) -> str:
    """The message about an unknown name, with the first part of the fix."""
    close = difflib.get_close_matches(name, _known(version), n=1, cutoff=0.8)
    hint = f'use "{close[0]}"' if close else "check the name"
    return f"is not a name that Langfuse {version} is known to read; {hint}"
