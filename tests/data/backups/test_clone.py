# ruff: noqa: S608  # names of our own tables
"""A restore of another installation's set: it is changed in the same transaction, so that nobody sees it as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.images import probe_application
from tests.data.backups.pods import MEDIA, NO_WARNING, Pod, manifests, restore_pod, set_pod
from tests.data.containers import Run, run
from tests.data.object_store.minio import Store, provision
from tests.data.postgres.server import PostgresServer
from tests.data.rendered import COPIES, environment, secrets
from tests.unit.configuration import HOST
from tests.unit.pods import container
from tests.unit.program import recorded

SCRIPTS = Path("components/backups/scripts")
DECISIONS = json.loads((SCRIPTS / "clone-tables.json").read_text())
SCHEMA = json.loads(Path("tests/drill/schema.json").read_text())["postgres"]
"""The tables and columns of Langfuse."""

TYPES = {"ARRAY": "text[]", "USER-DEFINED": "text", "character": "text", '"char"': "text"}
UNIQUE = "ALTER TABLE users ADD UNIQUE (email); ALTER TABLE organization_memberships ADD UNIQUE (org_id, user_id);"
CLONE = {"ACTION": "restore", "OVERWRITE": "true", "CLONE": "true", "FORMER_MEDIA_BUCKET": "langfuse-prod-media"}
OWNER = "owner@example.com"


def statements() -> str:
    """Every table of Langfuse with two rows, in which every text is `former`."""
    lines = []
    for table, found in SCHEMA.items():
        columns = {name: type_.removesuffix("?") for name, type_ in found["columns"].items()}
        definitions = ", ".join(f'"{name}" {TYPES.get(type_, type_)}' for name, type_ in columns.items())
        lines.append(f'CREATE TABLE public."{table}" ({definitions});')
        texts = {name for name, type_ in columns.items() if TYPES.get(type_, type_) == "text"}
        values = {name: "'former' || n" if name in {"id", "email", "org_id"} else "'former'" for name in sorted(texts)}
        values |= {name: "true" for name, type_ in columns.items() if type_ == "boolean"}
        values |= {name: "'{\"former\": 1}'" for name, type_ in columns.items() if type_ in {"json", "jsonb"}}
        names = ", ".join(f'"{name}"' for name in values)
        row = ", ".join(values.values())
        lines.append(f'INSERT INTO public."{table}" ({names}) SELECT {row} FROM generate_series(1, 2) AS n;')
    return "\n".join([*lines, UNIQUE])


@pytest.fixture(scope="module")
def other_set(
    postgres: PostgresServer, make_store: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Store, str]]:
    """A set of an installation in which every table has rows, and its id."""
    store = make_store()
    assert provision(store, tmp_path_factory.mktemp("provisioning")).code == 0
    clean = (SCRIPTS / "drop-everything.sql").read_text()
    postgres.query(clean)
    postgres.query(statements())
    postgres.query("UPDATE media SET bucket_name = 'langfuse-prod-media' WHERE id = 'former1'")
    postgres.query("UPDATE job_executions SET status = 'PENDING' WHERE id = 'former1'")
    done = set_pod(postgres, store).run(tmp_path_factory.mktemp("backup"), ENCRYPTION_KEY="0" * 64, SALT="another")
    assert done.code == 0, done.output
    ((folder, _),) = manifests(store, "sets/").items()
    yield store, folder.removeprefix("sets/")
    postgres.query(clean)


def first_user(folder: Path) -> None:
    """Run the step that notes the first user. The other containers of the pod are those of every stack."""
    found = container(
        recorded("dev", {"host": HOST, "backups": {"importFrom": COPIES}}).one("CronJob", "langfuse-restore-postgres"),
        "first-user",
    )
    (folder / "work").mkdir(parents=True, exist_ok=True)
    (folder / "clients").mkdir(exist_ok=True)
    given = {
        "CLONE": "true",
        "WORK_DIR": str(folder / "work"),
        "USER_EMAIL": "Owner@Example.com",
        "USER_NAME": "O'Wner",
    }
    node = {"NODE_PATH": str(probe_application.node_modules()), **NO_WARNING}
    done = run(found, {**environment(found, **given), **node}, folder / "clients")
    assert done.code == 0, done.output
    assert done.leaks([secrets()["langfuse-first-start", "user-password"]]) == []


def restored(pod: Pod, folder: Path, set_id: str, **given: str) -> Run:
    first_user(folder)
    return pod.run(folder, SET_ID=set_id, **{**CLONE, **given})


@pytest.mark.long
def test_a_clone_has_no_credential_and_sends_nothing(
    postgres: PostgresServer, other_set: tuple[Store, str], tmp_path: Path
) -> None:
    store, set_id = other_set
    pod = restore_pod(postgres, store)
    refused = pod.run(tmp_path / "refused", SET_ID=set_id, ACTION="restore", OVERWRITE="true")
    assert "the set was made with another ENCRYPTION_KEY" in refused.output
    done = restored(pod, tmp_path / "clone", set_id)
    assert done.code == 0, done.output
    for table, decision in DECISIONS.items():
        if table not in SCHEMA:
            continue  # of a newer release
        if "delete" in decision:
            assert postgres.query(f'SELECT count(*) FROM "{table}"') == "0", table
        elif "where" not in decision:
            for column, value in decision.get("set", {}).items():
                wanted = "IS NULL" if value is None else f"= '{value}'"
                owner = f" AND email <> '{OWNER}'" if table == "users" else ""
                query = f'SELECT count(*) FROM "{table}" WHERE NOT coalesce("{column}" {wanted}, false){owner}'
                assert postgres.query(query) == "0", (table, column)
    assert postgres.query("SELECT string_agg(status, ' ' ORDER BY id) FROM job_executions") == "CANCELLED former"
    assert postgres.query("SELECT string_agg(bucket_name, ' ' ORDER BY id) FROM media") == f"{MEDIA} former"
    assert postgres.query("SELECT count(*) FROM prompts WHERE config::text LIKE '%former%'") == "2"
    user, name, password = postgres.query(f"SELECT id, name, password FROM users WHERE email = '{OWNER}'").split("|")
    assert (name, password[:7]) == ("O'Wner", "$2a$12$")
    memberships = f"SELECT org_id, role FROM organization_memberships WHERE user_id = '{user}' ORDER BY 1"
    assert postgres.query(memberships) == "former1|OWNER\nformer2|OWNER"

    moved = pod.run(
        tmp_path / "moved", SET_ID=set_id, **{**CLONE, "CLONE": "false"}, ENCRYPTION_KEY="0" * 64, SALT="another"
    )
    assert moved.code == 0, moved.output
    assert postgres.query("SELECT count(*) FROM llm_api_keys") == "2", "a move keeps everything"
    assert postgres.query("SELECT string_agg(bucket_name, ' ' ORDER BY id) FROM media") == f"{MEDIA} former"


@pytest.mark.long
def test_a_column_that_nobody_decided_upon_stops_a_clone(
    postgres: PostgresServer, other_set: tuple[Store, str], tmp_path: Path
) -> None:
    """What a newer release of Langfuse adds. The test above shows that everything else in the schema is decided."""
    store, set_id = other_set
    postgres.query((SCRIPTS / "drop-everything.sql").read_text())
    postgres.query(statements())
    postgres.query("CREATE TABLE pagers (id text, routing_token text); ALTER TABLE prompts ADD webhook_address text")
    done = set_pod(postgres, store).run(tmp_path / "backup", ENCRYPTION_KEY="0" * 64, SALT="another")
    assert done.code == 0, done.output
    (newer,) = {folder.removeprefix("sets/") for folder in manifests(store, "sets/")} - {set_id}
    before = postgres.query("SELECT count(*) FROM llm_api_keys")
    done = restored(restore_pod(postgres, store), tmp_path / "clone", newer)
    assert done.code == 1
    assert "a clone could keep a secret or an address of the other installation: pagers.routing_token, " in done.output
    assert re.search(r"prompts\.webhook_address\b", done.output)
    assert postgres.query("SELECT count(*) FROM llm_api_keys") == before == "2", "the database is as before"
