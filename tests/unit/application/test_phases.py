"""The rules of the phases of ingestion. `tests/data/application/test_phases.py` has them against real databases."""

import os
import re
import subprocess
from pathlib import Path

from tests.servers import program
from tests.unit.pods import container, variables
from tests.unit.program import recorded

RULES = Path(__file__).parent / "scripts/phase-rules.test.cjs"


def test_rules_of_the_phases() -> None:
    done = subprocess.run(
        [program("node", package="nodejs"), "--test", "--test-reporter", "tap", RULES],
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE), done.stdout


def test_the_phase_is_checked_last_before_the_migration() -> None:
    job = recorded("dev", {"ingestion": {"acknowledgeEventsOnly": True}}).one("Job", "langfuse-migrations")
    names = [one["name"] for one in job.inputs["spec"]["template"]["spec"]["initContainers"]]
    assert names[-1] == "phase"
    check = variables(container(job, "phase"))
    assert check["BACKFILLS"] == "true"
    assert (check["PHASE"], check["ACKNOWLEDGED"]) == ("events_only", "true")
    worker = variables(container(recorded("dev").one("Deployment", "langfuse-worker")))
    shared = check.keys() & worker.keys() - {"NODE_OPTIONS"}
    assert {name: check[name] for name in shared} == {name: worker[name] for name in shared}
    assert not {"SALT", "ENCRYPTION_KEY", "REDIS_AUTH"} & check.keys()
