"""The documented requirements on images match the programs that containers start."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from components.kubernetes.image_contracts import CONTRACTS, Contract
from components.schema.images import POSTGRES, VALKEY
from components.stores.postgres.managed import initdb_arguments
from tests.scripts import SCRIPTS
from tests.unit.pods import containers, workloads
from tests.unit.program import recorded
from tests.unit.shell_commands import programs
from tools.docs.images import render

OFF_SITE: dict[str, object] = {
    "backups": {"offSite": {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}}
}
EXISTING = {
    "credentials": {"values": {"postgresPassword": {"source": "existing", "secret": "mine", "key": "password"}}}
}
STACKS: list[tuple[str, dict[str, object]]] = [
    ("dev", OFF_SITE),
    ("prod", OFF_SITE),
    ("prod", {"postgres": {"mode": "cloudnativepg"}}),
    ("dev", {**EXISTING, "postgres": {"mode": "external", "host": "pg.example.com"}}),
]


def all_containers() -> Iterator[Mapping[str, Any]]:
    """Every container of every stack."""
    for stack, config in STACKS:
        for item in workloads(recorded(stack, config)):
            yield from containers(item)


def commands(container: Mapping[str, Any]) -> Iterator[list[str]]:
    """The commands of a container, of its probes and of its hooks."""
    yield container.get("command") or []
    hooks = container.get("lifecycle", {}).values()
    for handler in (*(container.get(f"{name}Probe", {}) for name in ("startup", "readiness", "liveness")), *hooks):
        yield handler.get("exec", {}).get("command") or []


def scripts(name: str) -> set[str]:
    """A script and the scripts that it calls or sources."""
    code = re.sub(r"^#.*$", "", SCRIPTS[name].read_text(), flags=re.MULTILINE)
    called = [other.name for other in SCRIPTS.values() if f"/{other.name}" in code]
    return {name}.union(*(scripts(other) for other in called))


def started(command: list[str]) -> set[str]:
    """The programs that a command starts."""
    if not command:
        return set()
    if command[0] != "/bin/sh":
        return {command[0]}
    if command[1] == "-c":
        return {"sh"} | programs(command[2])
    # A script may call functions of one that it includes.
    texts = [SCRIPTS[one].read_text() for one in sorted(scripts(command[1].rpartition("/")[2]))]
    return {"sh"} | programs("\n".join(texts))


def repository(container: Mapping[str, Any]) -> str:
    return str(container["image"].partition("@")[0].rpartition(":")[0])


def needed() -> dict[str, set[str]]:
    """Every program that is started in each image."""
    found: dict[str, set[str]] = {name: set() for name in CONTRACTS}
    for container in all_containers():
        for command in commands(container):
            found.setdefault(repository(container), set()).update(started(command))
    # The backup of Postgres copies this one from another image.
    found[POSTGRES.repository].discard("rclone")
    return found


@pytest.mark.parametrize("image", CONTRACTS)
def test_an_image_requires_the_programs_that_are_started_in_it_and_no_others(image: str) -> None:
    assert set(CONTRACTS[image].commands) == needed()[image], "update components/kubernetes/image_contracts.py"


def test_required_files_are_those_that_scripts_read() -> None:
    code = "\n".join(SCRIPTS[name].read_text() for name in ("list-release-migrations.sh",))
    shared = re.findall(r"\$\{SHARED_DIR:-([^}]+)\}", code)
    read = {f"{shared[0]}/{path}" for path in re.findall(r"\$shared/(scripts/[\w.]+)", code)}
    assert {path for contract in CONTRACTS.values() for path in contract.files} == read


def test_every_image_has_a_contract() -> None:
    assert needed().keys() == CONTRACTS.keys()


def test_containers_run_as_the_documented_user() -> None:
    for container in all_containers():
        assert container["securityContext"]["runAsUser"] == CONTRACTS[repository(container)].image.uid


def test_new_databases_use_only_documented_locales() -> None:
    for version in ("15.18", "17.10", "18.4"):
        asked = set(re.findall(r"locale=(\S+)", initdb_arguments(version)))
        assert {name.lower().replace("-", "") for name in asked} == {
            name.lower() for name in CONTRACTS[POSTGRES.repository].locales
        }


def check(contract: Contract, path: str) -> str:
    return subprocess.run(
        ["/bin/sh", "-c", contract.check], env={"PATH": path}, capture_output=True, text=True, check=True
    ).stdout


def test_the_check_lists_what_is_missing() -> None:
    complete = Contract(
        image=VALKEY, commands=("sh", "cat"), files=("/etc/passwd",), locales=("C.utf8",), named_user=True
    )
    assert check(complete, "/usr/bin:/bin") == ""
    poor = Contract(image=VALKEY, commands=("sh", "no-such"), files=("/no/such",), locales=("tlh_QO",))
    assert check(poor, "/usr/bin:/bin").splitlines() == ["no no-such", "no /no/such", "no locale tlh_QO"]


def test_the_page_has_a_check_for_every_image_that_runs_scripts() -> None:
    page = render()
    for contract in CONTRACTS.values():
        assert f"## {contract.image.repository}\n" in page
        assert not contract.commands or contract.docker_command in page


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a | b && c; d || e\n# f\ng", {"a", "b", "c", "d", "e", "g"}),
        ('x=$(a "$(b)") || c "text $(d | e) f"', {"a", "b", "c", "d", "e"}),
        ("if ! a; then b; else c; fi\nwhile d; do e; done", {"a", "b", "c", "d", "e"}),
        ("case $(a) in\n b | c) d ;;\n *) e ;;\nesac\nf", {"a", "d", "e", "f"}),
        ("quietly() {\n    \"$@\"\n}\nplain() {\n    echo $1\n}\nquietly a\nplain b", {"a"}),
        ("X=1 a 'b | c' <<'END'\nd | e\nEND\nf", {"a", "f"}),
        ("timeout 10 a; command -v b; exec c; { d; } > /dev/null; (e)", {"timeout", "a", "b", "c", "d", "e"}),
        ("a \\\n  b\n`c`", {"a", "c"}),
    ],
)  # fmt: skip
def test_the_programs_of_a_script_are_found(script: str, expected: set[str]) -> None:
    assert programs(script) == expected
