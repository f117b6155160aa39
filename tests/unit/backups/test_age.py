"""Encryption of copies, beside another implementation of age (github.com/woodruffw/pyrage, of rage)."""

import subprocess
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it has no types
import pytest
from pyrage.x25519 import Identity  # type: ignore[import-untyped]

from components.backups.steps import SCRIPTS
from tests.servers import program

CHUNK = 64 * 1024
SIZES = (0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17)

CONVERT = """
const age = require(process.argv[1]);
const { createReadStream, createWriteStream } = require("node:fs");
const { pipeline } = require("node:stream/promises");
const [, , how, key, from, to] = process.argv;
const encrypt = () => age.encrypt(key.split(",").map(age.recipientKey));
const through = () => (how === "encrypt" ? encrypt() : age.decrypt(age.identityKey(key)));
const run = async () => pipeline(createReadStream(from, { highWaterMark: 1000 }), through(), createWriteStream(to));
run().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
"""


def convert(how: str, key: str, content: bytes, folder: Path) -> bytes:
    """Encrypt for recipients, or decrypt with an identity. Fails with the message of the script."""
    (folder / "from").write_bytes(content)
    files = [str(folder / "from"), str(folder / "to")]
    command = [str(program("node", package="nodejs")), "-e", CONVERT, str(SCRIPTS / "age.js"), how, key, *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "to").read_bytes()


@pytest.fixture(scope="module")
def identity() -> Identity:
    return Identity.generate()


def sample(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_files_are_those_of_other_implementations(identity: Identity, tmp_path: Path, size: int) -> None:
    content = sample(size)
    own = convert("encrypt", str(identity.to_public()), content, tmp_path)
    assert pyrage.decrypt(own, [identity]) == content
    other = pyrage.encrypt(content, [identity.to_public()])
    assert convert("decrypt", f"# created by age-keygen\n{identity}\n", other, tmp_path) == content


def test_each_recipient_can_decrypt_and_nobody_else(identity: Identity, tmp_path: Path) -> None:
    second, stranger = Identity.generate(), Identity.generate()
    both = convert("encrypt", f"{identity.to_public()},{second.to_public()}", b"rows", tmp_path)
    assert [pyrage.decrypt(both, [one]) for one in (identity, second)] == [b"rows", b"rows"]
    assert convert("decrypt", str(second), both, tmp_path) == b"rows"
    with pytest.raises(AssertionError, match="not encrypted for this identity"):
        convert("decrypt", str(stranger), both, tmp_path)


@pytest.mark.parametrize("size", [10, 3 * CHUNK])
def test_a_changed_file_is_refused(identity: Identity, tmp_path: Path, size: int) -> None:
    whole = convert("encrypt", str(identity.to_public()), sample(size), tmp_path)
    cut = [whole[:length] for length in (0, 10, 150, len(whole) - 1, len(whole) - CHUNK // 2)]
    changed = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in (40, 130, 190, -1)]
    if size > CHUNK:
        cut.append(whole[: -(CHUNK + 16)])  # without the last chunk
    for content in (*cut, *changed):
        with pytest.raises(AssertionError):
            convert("decrypt", str(identity), content, tmp_path)


@pytest.mark.parametrize("text", ["", "age1", "AGE-SECRET-KEY-1", "typo", "MIXED"])
def test_a_recipient_that_is_none_is_named(identity: Identity, tmp_path: Path, text: str) -> None:
    right = str(identity.to_public())
    typo = right[:20] + ("q" if right[20] != "q" else "p") + right[21:]
    given = {"typo": typo, "MIXED": right[:30] + right[30:].upper()}.get(text, text)
    with pytest.raises(AssertionError, match="is no recipient of age"):
        convert("encrypt", given, b"", tmp_path)
