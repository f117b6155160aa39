import json
import math
import subprocess
import sys
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from components.network.requests import steady_state_pods
from components.schema.schedules import schedule as read
from components.schema.values import quantity_value
from components.settings.load import parse
from components.settings.profiles import PROFILES
from components.settings.scales import LOADS, SCALES, Load
from operations.__main__ import app
from operations.errors import OperationError
from operations.needs import needs
from operations.pulumi import CHECKOUT
from operations.sizing import environment, size


def test_what_is_external_requests_nothing() -> None:
    existing = {"source": "existing", "secret": "langfuse-credentials"}
    settings = parse(
        "dev",
        {
            "host": "langfuse.example.com",
            "credentials": existing,
            "postgres": {"mode": "external", "host": "postgres.example.com"},
            "clickhouse": {"mode": "external", "host": "clickhouse.example.com"},
            "redis": {"mode": "external", "host": "redis.example.com"},
            "objectStore": {
                "mode": "external",
                "region": "eu-central-1",
                "buckets": {name: f"langfuse-{name}" for name in ("events", "media", "exports", "backups")},
            },
        },
    )
    assert {item.name for item in steady_state_pods(settings)} == {"web", "worker"}
    assert {need.key.split(".")[0] for need in needs(LOADS["small"], settings)} == {"web", "worker"}


@pytest.mark.parametrize("scale", SCALES)
def test_the_load_of_a_scale_gets_that_scale(scale: str) -> None:
    assert size(LOADS[scale], profile="staging").scale == scale


@pytest.mark.parametrize("scale", SCALES)
def test_more_than_the_load_of_a_scale_gets_more(scale: str) -> None:
    load = Load(events_per_second=LOADS[scale].events_per_second * 25, retained_days=LOADS[scale].retained_days * 2)
    answer = size(load, profile="staging")
    assert list(SCALES).index(answer.scale) > list(SCALES).index(scale) or answer.explicit


def test_production_never_gets_less_than_the_documented_minimum() -> None:
    tiny = Load(events_per_second=0.01, retained_days=1)
    assert size(tiny, profile="prod").scale == "medium"
    assert size(tiny, profile="dev").scale == "small"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("rate", "days"), [(500, 30), (200, 365), (2000, 90)])
def test_beyond_the_largest_scale_the_explicit_numbers_carry_the_load(profile: str, rate: float, days: int) -> None:
    load = Load(events_per_second=rate, retained_days=days)
    answer = size(load, profile=profile)
    assert answer.scale == "xlarge"
    assert answer.explicit
    assert all(need.fits for need in needs(load, answer.settings))


def test_explicit_numbers_keep_limits_above_requests() -> None:
    settings = size(Load(events_per_second=4000, retained_days=1), profile="staging").settings
    assert settings.clickhouse.mode == "managed"
    resources = settings.clickhouse.resources
    assert quantity_value(resources.cpu_limit) >= quantity_value(resources.cpu) >= 160


def test_what_no_installation_carries_is_refused() -> None:
    with pytest.raises(
        OperationError, match=r"divide it by project\n.*langfuse:web\.replicas: \d+ must be at most 100"
    ):
        size(Load(events_per_second=1e6, retained_days=30), profile="prod")


def test_storage_grows_with_the_rate_the_days_and_the_bytes() -> None:
    settings = environment("staging", "medium")

    def storage(rate: float, days: int, event_bytes: int) -> dict[str, Decimal]:
        found = needs(Load(events_per_second=rate, retained_days=days), settings, event_bytes)
        return {need.key: quantity_value(str(need.least)) for need in found if need.key.endswith("storage")}

    base = storage(100, 100, 5000)
    for other in (storage(200, 100, 5000), storage(100, 200, 5000), storage(100, 100, 10_000)):
        assert other["clickhouse.storage"] == pytest.approx(2 * base["clickhouse.storage"], rel=Decimal("0.1"))
        assert other["objectStore.storage"] > base["objectStore.storage"]


def test_the_volume_of_clickhouse_is_the_product_of_its_factors() -> None:
    """One event of 1 MB a second for one day, compressed to a fifth, half as much again, 80 % full."""
    found = needs(Load(events_per_second=1, retained_days=1), environment("staging", "medium"), 1_000_000)
    least = next(need.least for need in found if need.key == "clickhouse.storage")
    exact = Decimal(86_400 * 10**6) / 5 * Decimal("1.5") / Decimal("0.8")
    assert least == f"{math.ceil(exact / 1024**3)}Gi"


def test_redis_gets_the_memory_that_langfuse_documents() -> None:
    """About 1 GB for every 100,000 events a minute, twice that for rewrites, and 64 MiB."""
    found = needs(Load(events_per_second=100_000 / 60, retained_days=1), environment("staging", "medium"))
    least = next(need.least for need in found if need.key == "redis.resources.memory")
    assert quantity_value(str(least)) == pytest.approx(2 * Decimal(10**9) + 64 * 1024**2, rel=Decimal("0.01"))


@pytest.mark.parametrize(
    ("schedule", "days", "expected"),
    [
        ("15 2 * * *", 30, 30),
        ("15 */6 * * *", 30, 120),
        ("0,30 * * * *", 1, 48),
        ("45 2 * * 0", 28, 4),
        ("0 0-5/2 * * 1-5", 7, 15),
        ("0 3 1 * *", 31, 2),  # 1 February and 1 March
        ("0 3 1 1 *", 372, 2),
        ("45 2 * * *", 1000, 1000),
    ],
)
def test_backups_are_counted_by_their_schedule(schedule: str, days: int, expected: int) -> None:
    assert read(schedule).most_starts(days) == expected


def test_the_program_finds_the_reader_of_schedules_by_itself() -> None:
    """Only `make` tells the interpreter where the rule library is; people run `pulumi up` without it."""
    program = (
        "import sys; "
        "sys.path = [CHECKOUT, *(path for path in sys.path if not path.endswith('policies'))]; "
        "from components.schema.schedules import schedule; print(schedule('0 2 */2 * *').longest_gap)"
    ).replace("CHECKOUT", repr(str(CHECKOUT)))
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str(2 * 24 * 60), done.stderr


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sizing", *arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def test_the_command_says_what_to_set_what_it_requests_and_why() -> None:
    code, output = run("--events-per-second", "50", "--retention-days", "30")
    assert code == 0
    assert "langfuse:scale: large" in output
    for item in steady_state_pods(environment("prod", "large")):
        assert item.name in output
    for word in ("assumption", "Langfuse: 1 GB for every 100,000", "50 events/s"):
        assert word in output


def test_the_commands_json_is_for_programs() -> None:
    code, output = run("--events-per-second", "5000", "--retention-days", "30", "--profile", "staging", "--json")
    assert code == 0
    answer = json.loads(output)
    config = {key.removeprefix("langfuse:"): value for key, value in answer["config"].items()}
    settings = parse("example", {"host": "langfuse.example.com", **config})
    pods = steady_state_pods(settings)
    assert answer["requests"]["total"]["cpu"] == sum(item.total.cpu for item in pods)
    assert any(not need["fits"] for need in answer["needs"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--events-per-second", "0", "--retention-days", "30"], "'0' is not a number of events above 0"),
        (["--events-per-second", "-3", "--retention-days", "30"], "'-3' is not a number of events above 0"),
        (["--events-per-second", "nan", "--retention-days", "30"], "'nan' is not a number of events above 0"),
        (["--events-per-second", "inf", "--retention-days", "30"], "'inf' is not a number of events above 0"),
        (["--events-per-second", "many", "--retention-days", "30"], "'many' is not a number of events above 0"),
        (["--events-per-second", "5", "--retention-days", "0"], "'0' is not a whole number above 0"),
        (["--events-per-second", "5", "--retention-days", "1.5"], "'1.5' is not a whole number above 0"),
        (["--events-per-second", "5"], "Missing option '--retention-days'"),
        (["--events-per-second", "5", "--retention-days", "30", "--event-bytes", "0"], "'0' is not a whole number"),
        (
            ["--events-per-second", "5", "--retention-days", "30", "--profile", "x"],
            "'x' is not a profile; choose one of",
        ),
    ],
)
def test_a_bad_argument_gives_one_clear_error(arguments: list[str], message: str) -> None:
    code, output = run(*arguments)
    assert code == 2
    errors = [line for line in output.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in output


def test_a_load_that_is_too_large_gives_one_error() -> None:
    code, output = run("--events-per-second", "1e9", "--retention-days", "30")
    assert code == 2
    assert output.startswith("error: no single installation carries this load")
    assert "Traceback" not in output


def test_sizing_shows_what_has_to_add_up() -> None:
    options = ("--events-per-second", "200", "--retention-days", "30")
    code, text = run(*options, "--json")
    assert code == 0
    found = json.loads(text)["bounds"]
    assert {"langfuse:postgres.resources.memory", "langfuse:redis.storage"} <= {bound["key"] for bound in found}
    assert all(bound["fits"] and bound["uses"] <= bound["of"] for bound in found)
    assert "What has to add up" in run(*options)[1]


def test_a_month_of_backups_takes_less_in_chains_than_as_full_copies() -> None:
    found = size(Load(events_per_second=50, retained_days=30), profile="prod").backups
    assert found.full == Decimal(50 * 86_400 * 30 * 5000) / 5 * Decimal("1.5")
    assert found.increment == found.full / 10
    assert found.month_of_copies == 31 * found.full
    assert found.month == 8 * found.full, "five chains of a full backup and six increments"
    assert found.kept == Decimal("19.2") * found.full, "of up to half a year"
