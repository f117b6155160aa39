"""Writes everything that the program registers into files, to show that a change of the code changes no object.

    python -m tests.golden FOLDER [STACK ...]

writes one file for each profile, mode of a store and other special stack. Run it at two commits and compare the folders
with `diff -r`.
"""

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import yaml

from components.settings.clusters import CLUSTERS
from components.settings.profiles import PROFILES
from tests.engine.matrix import config, few_rows
from tests.unit.network.test_reachability import STACKS
from tests.unit.program import run
from tests.unit.recorder import Recording

EXAMPLE = Path(__file__).parents[1] / "docs/examples/every-key.yaml"
"""A stack file with a value for every key."""

PAIRS = 2
"""The rows of the matrix contain every pair of choices."""


def as_text(recording: Recording) -> str:
    """The registrations with their options, sorted by type and name, and the outputs of the components."""
    found = sorted(recording, key=lambda item: (item.type, item.name, item.parent))
    data = {"resources": [asdict(item) for item in found], "outputs": recording.outputs}
    return json.dumps(data, indent=1, sort_keys=True, default=_plain) + "\n"


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else repr(value)


def stacks() -> Iterator[tuple[str, str, Mapping[str, object]]]:
    """Name of the file, name of the stack and configuration."""
    for profile in PROFILES:
        yield f"profile-{profile}", profile, {"profile": profile}
    for cluster in CLUSTERS:
        yield f"cluster-{cluster}", "matrix", {"profile": "prod", "cluster": {"preset": cluster}}
    for row in few_rows(PAIRS):
        yield "-".join(row), "matrix", config(row)
    for name, (stack, given) in STACKS.items():
        yield name.replace(" ", "-").replace(",", ""), stack, given
    example = yaml.safe_load(EXAMPLE.read_text())["config"]
    yield "example", "example", {key.removeprefix("langfuse:"): value for key, value in example.items()}


def write(folder: Path, names: Collection[str] = ()) -> None:
    """Write one file for each stack, or for those with these names."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, stack, given in stacks():
        if not names or file in names:
            (folder / f"{file}.json").write_text(as_text(run(stack, given)))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2:])
