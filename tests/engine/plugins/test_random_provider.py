"""Random values with the real engine: generated once, kept, replaced with their inputs, and secret in the state."""

from __future__ import annotations

import base64
import json
import re
import string
import uuid
from typing import cast

import pytest

from sandbox.plugins.random.bcrypt import COST_VARIABLE, DEFAULT_COST
from tests.engine.conftest import ProgramFactory
from tests.engine.harness import Json

pytestmark = pytest.mark.long

EVERY_KIND = """
    import pulumi
    import pulumi_random as random

    password = random.RandomPassword("password", length=24, special=False, min_numeric=4)
    text = random.RandomString("text", length=16, upper=False, special=False)
    content = random.RandomBytes("content", length=12)
    identifier = random.RandomId("identifier", byte_length=5, prefix="run-")
    number = random.RandomInteger("number", min=10, max=20)
    unique = random.RandomUuid("unique")
    pulumi.export("password", password.result)
    pulumi.export("bcrypt", password.bcrypt_hash)
    pulumi.export("text", text.result)
    pulumi.export("base64", content.base64)
    pulumi.export("hex", content.hex)
    pulumi.export("identifier", {"std": identifier.b64_std, "url": identifier.b64_url, "dec": identifier.dec,
                                 "hex": identifier.hex, "id": identifier.id})
    pulumi.export("number", number.result)
    pulumi.export("unique", unique.result)
"""


def test_values_have_the_requested_format_and_survive_updates_and_refreshes(program: ProgramFactory) -> None:
    every = program(EVERY_KIND)
    every.variables[COST_VARIABLE] = DEFAULT_COST
    preview = every.preview().ok()
    assert preview.changes == dict.fromkeys(("password", "text", "content", "identifier", "number", "unique"), "create")
    every.up().ok()
    values = every.outputs()
    password = cast(str, values["password"])
    assert re.fullmatch(r"[a-zA-Z0-9]{24}", password)
    assert sum(character in string.digits for character in password) >= 4
    assert re.fullmatch(r"\$2[ab]\$10\$.{53}", cast(str, values["bcrypt"]))
    assert re.fullmatch(r"[a-z0-9]{16}", cast(str, values["text"]))
    assert base64.b64decode(cast(str, values["base64"])) == bytes.fromhex(cast(str, values["hex"]))
    assert len(bytes.fromhex(cast(str, values["hex"]))) == 12
    identifier = cast(dict[str, str], values["identifier"])
    content = bytes.fromhex(identifier["hex"].removeprefix("run-"))
    assert len(content) == 5
    assert identifier["std"] == "run-" + base64.b64encode(content).decode()
    assert identifier["url"] == "run-" + identifier["id"]
    assert base64.urlsafe_b64decode(identifier["id"] + "=") == content
    assert int(identifier["dec"].removeprefix("run-")) == int.from_bytes(content, "big")
    assert 10 <= cast(int, values["number"]) <= 20
    assert uuid.UUID(cast(str, values["unique"])).version == 4

    assert every.up().ok().changes == {}
    every.refresh().ok()
    assert every.up().ok().changes == {}
    assert every.outputs() == values


def test_secret_results_are_encrypted_in_the_state(program: ProgramFactory) -> None:
    every = program(EVERY_KIND)
    result = every.up().ok()
    values = every.outputs()
    state = every.export()
    for name in ("password", "bcrypt", "hex"):
        assert cast(str, values[name]) not in state + result.output
    assert cast(str, values["text"]) in state  # a RandomString is not secret
    assert every.state()["password"]["id"] == "none"
    assert every.state()["content"]["id"] == values["base64"]  # never encrypted: not for secrets


CHANGING = """
    import pulumi
    import pulumi_random as random

    for name, inputs in pulumi.Config().require_object("inputs").items():
        pulumi.export(name, random.RandomPassword(name, **inputs).result)
"""


def test_a_changed_input_replaces_the_value(program: ProgramFactory) -> None:
    before: dict[str, Json] = {
        "rules": {"length": 16},
        "length": {"length": 16},
        "keepers": {"length": 16, "keepers": {"epoch": "1"}},
    }
    after: dict[str, Json] = {
        "rules": {"length": 16, "special": True, "min_lower": 0},
        "length": {"length": 17},
        "keepers": {"length": 16, "keepers": {"epoch": "2"}},
    }
    replaced = {"length", "keepers"}
    changing = program(CHANGING)
    changing.configure(inputs=before)
    changing.up().ok()
    values = changing.outputs()
    changing.configure(inputs=after)

    result = changing.up().ok()

    assert result.changes == dict.fromkeys(replaced, "replace")
    now = changing.outputs()
    assert {name for name, value in values.items() if now[name] != value} == replaced
    for name in replaced:
        assert {diff for step in result.steps if step.name == name for diff in step.diffs} == {name}


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("RandomPassword('x', length=3, min_lower=2, min_upper=2)", "length"),
        ("RandomString('x', length=5, lower=False, upper=False, numeric=False, special=False)", "at least one"),
        ("RandomInteger('x', min=5, max=4)", "min"),
    ],
)
def test_impossible_inputs_are_refused(program: ProgramFactory, resource: str, expected: str) -> None:
    wrong = program(f"import pulumi_random\npulumi_random.{resource}\n")
    result = wrong.up()
    assert result.exit_code != 0
    assert expected.lower() in result.output.lower()
    assert "Traceback" not in result.output
    assert "x" not in wrong.state()


def test_values_have_the_requested_characters(program: ProgramFactory) -> None:
    chosen = program(
        """
        import pulumi
        import pulumi_random as random
        key = random.RandomPassword("key", length=64, lower=False, upper=False, override_special="abcdef")
        pulumi.export("key", key.result)
        """
    )
    chosen.up().ok()
    key = cast(str, chosen.outputs()["key"])
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    assert len(bytes.fromhex(key)) == 32


def test_existing_values_can_be_imported(program: ProgramFactory) -> None:
    imported = program(
        """
        import pulumi
        import pulumi_random as random
        def existing(id):
            return pulumi.ResourceOptions(import_=id)
        password = random.RandomPassword("password", length=7, opts=existing("s3cr-et"))
        number = random.RandomInteger("number", min=1, max=9, opts=existing("4,1,9"))
        identifier = random.RandomId("identifier", byte_length=3, prefix="p-", opts=existing("p-,AQID"))
        pulumi.export("password", password.result)
        pulumi.export("number", number.result)
        pulumi.export("identifier", identifier.hex)
        """
    )
    assert imported.up().ok().changes == dict.fromkeys(("password", "number", "identifier"), "import")
    assert imported.outputs() == {"password": "s3cr-et", "number": 4, "identifier": "p-010203"}
    assert "s3cr-et" not in json.dumps(imported.state()["password"]["outputs"])
    assert imported.up().ok().changes == {}


def test_an_unknown_input_can_be_previewed(program: ProgramFactory) -> None:
    chained = program(
        """
        import pulumi_random as random
        first = random.RandomInteger("first", min=8, max=12)
        random.RandomString("second", length=first.result)
        """
    )
    assert chained.preview().ok().changes == {"first": "create", "second": "create"}
    chained.up().ok()
    state = chained.state()
    assert len(cast(str, state["second"]["id"])) == int(cast(str, state["first"]["id"]))
