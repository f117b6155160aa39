"""No error about the configuration quotes a credential, whichever key it was pasted into."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pulumi
import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from components.schema import values
from components.schema.credentials import Existing, External
from components.schema.environment import Settings
from components.schema.redaction import HIDDEN, Redaction, of_configuration
from components.settings.load import SettingsError, parse
from operations.__main__ import app
from tests.unit.program import run
from tools.docs.fields import alternatives, discriminator, keys, metadata_of, unannotated

NAME, PASSWORD = "somebody", "c0rrect-h0rse"
URLS = [
    f"postgres://{NAME}:{PASSWORD}@db.example.com:5432/langfuse",
    f"https://{NAME}:{PASSWORD}/unencoded@slash@db.example.com",
    f"redis://{NAME}:{PASSWORD} and a space@db.example.com",
    f'amqp://{NAME}:{PASSWORD}"quoted"@db.example.com',
    f"{NAME}@db.example.com 17.10 s3+http://{NAME}:{PASSWORD}@db",
]
PRIVATE = "-----BEGIN PRIVATE KEY-----\n" + PASSWORD + "\n-----END PRIVATE KEY-----\n"

REFERENCES = {values._secret_name, values._secret_key, values._pem}
"""What validates the name of a Secret, its key, and a certificate: people paste the credential itself there."""

SOURCES = {"source", "epoch"}
"""They take no value of a credential: how one is made, and how often it was rotated."""


def places(
    model: type[BaseModel] = Settings, path: tuple[str, ...] = (), *, credential: bool = False
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The path of every key of the schema, and whether people write a credential there.

    A part with `=` selects a model: `postgres.=mode=external`.
    """
    for key in keys(model):
        here = (*path, key.name)
        holds = credential or here[0] in {"extraEnv", "patches"} or here == ("credentials", "values")
        holds |= any(getattr(one, "func", None) in REFERENCES for one in validators(key.annotation))
        holds |= bool({Existing, External} & {*key.models}) or key.name == "kmsKeyId"
        yield here, holds and key.name not in SOURCES
        inside = {"list": ("0",), "map": ("entry",)}.get(key.container, ())
        for part in key.models:
            choice = discriminator(part)
            below = (*here, *inside, *([f"={choice[0]}={choice[1]}"] if choice else []))
            yield from places(part, below, credential=holds)


def validators(annotation: object) -> Iterator[object]:
    """The metadata of a type, and of the items of a list or map."""
    for part in alternatives(annotation):
        yield from metadata_of(part)
        for inner in get_args(unannotated(part)):
            yield from validators(inner)


CREDENTIALS = dict(sorted(places()))
PLACES = [*CREDENTIALS]


def configured(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """The configuration of a stack with a value at a path."""
    chosen: Mapping[str, str] = {}
    for part in reversed(path):
        if part.startswith("="):
            _, key, choice = part.split("=")
            chosen = {key: choice}
            value = {**chosen, **value} if isinstance(value, dict) else value
        else:
            value = [value] if part == "0" else {part: value}
    return {"host": "langfuse.example.com", **value} if isinstance(value, dict) else {}


def complaint(config: Mapping[str, object], secret: frozenset[str] = frozenset()) -> str:
    """The error of a configuration; empty if it is valid."""
    with suppress(BaseExceptionGroup):
        try:
            parse("dev", config, secret=secret)
        except SettingsError as error:
            return str(error)
    return ""


def test_every_key_of_the_schema_is_covered() -> None:
    assert len(PLACES) > 300
    assert ("postgres", "=mode=external", "host") in PLACES


def test_no_error_quotes_the_credentials_of_a_url() -> None:
    first, second, third, fourth, fifth = URLS
    for path in PLACES:
        for value in (first, [second], {third: fourth}, [{"name": fifth, "x": [first]}]):
            error = complaint(configured(path, value))
            assert PASSWORD not in error, error
            assert f"{NAME}:" not in error, error


def test_no_error_quotes_the_value_of_a_credential_key() -> None:
    tried = [path for path, holds in CREDENTIALS.items() if holds]
    assert len(tried) > 100
    assert {
        *(("images", "pullSecrets"), ("license", "key"), ("mail", "smtpUrl"), ("backups", "offSite", "secret")),
        *(("postgres", "=mode=external", "ca"), ("signIn", "providers", "keycloak", "clientSecret")),
        *(("ingress", "=kind=ingress", "tlsSecret"), ("extraEnv",), ("patches", "0", "patch")),
    } <= {*tried}
    for path in tried:
        for value in (
            f"{PASSWORD} %$",
            20261126,
            [f"API_KEY={PASSWORD} %"],
            PRIVATE,
            {"auths": {"r": f"{PASSWORD} %"}},
        ):
            error = complaint(configured(path, value))
            assert PASSWORD not in error, error
            assert "20261126" not in error, error


def test_no_error_quotes_a_password_before_a_host() -> None:
    """As people write the address of Redis or of a proxy, without a scheme."""
    for path in PLACES:
        for value in (f"{NAME}:{PASSWORD}@db.example.com:6379", [f":{PASSWORD}@db.example.com:6379"]):
            error = complaint(configured(path, value))
            assert PASSWORD not in error, error


def test_the_digest_of_an_image_is_no_password() -> None:
    text = "append the digest: repository:tag@sha256:..., postgres:17.10@sha256:aa"
    assert Redaction()(text) == text
    assert Redaction()(f"{NAME}:{PASSWORD}@sha256.example.com") == f"{HIDDEN}@sha256.example.com"


def test_a_url_instead_of_a_host_is_answered_with_the_host() -> None:
    error = complaint({"host": "x.example", "postgres": {"mode": "external", "host": URLS[0]}})
    assert f'langfuse:postgres.host: "postgres://{HIDDEN}@db.example.com:5432/langfuse"' in error
    assert 'did you mean "db.example.com"?' in error


def test_an_unknown_key_that_is_a_credential_is_not_quoted() -> None:
    for config in ({URLS[0]: "x"}, {"extraEnv": {URLS[0]: "x"}}, {"extraEnv": {"NAME": {URLS[0]: 1}}}):
        error = complaint({"host": "x.example", **config})
        assert error
        assert PASSWORD not in error


def test_values_that_are_secret_in_pulumi_are_hidden_in_every_error() -> None:
    config = {"host": "x.example", "redis": {"mode": "external", "topology": "cluster", "nodes": [PASSWORD]}}
    assert PASSWORD in complaint(config)
    assert PASSWORD not in complaint(config, frozenset({"redis"}))


def test_an_error_about_an_unused_patch_quotes_no_credential() -> None:
    patch = {"kind": "Deployment", "name": URLS[0], "patch": {"spec": {}}}
    with pytest.raises(pulumi.RunError, match="the stack has no Deployment") as raised:
        run("dev", {"patches": [patch]})
    assert PASSWORD not in str(raised.value)


def test_an_error_of_a_command_quotes_no_credential(tmp_path: Path) -> None:
    file = tmp_path / "acknowledged.yaml"
    file.write_text(f"- stack: dev\n  {URLS[0]}: [")
    result = CliRunner().invoke(app, ["preview", "--stack", "dev", "--acknowledged", str(file)])
    assert result.exit_code == 2
    assert "is not YAML" in result.output
    assert PASSWORD not in result.output


def test_short_secret_values_are_not_replaced_inside_words() -> None:
    hide = of_configuration({"a": "x", "b": json.dumps("https://u@host")}, {"a"})
    assert hide("axb https://u@host") == f"axb https://{HIDDEN}@host"
    assert Redaction()("image: a/b:17@sha256:0 is x@y") == "image: a/b:17@sha256:0 is x@y"
    assert Redaction()("mail a@b and https://c.example") == "mail a@b and https://c.example"
