"""Schedules and quantities: the policies read what the controllers and the API server read.

The expected values are what robfig/cron v3.0.1, robfig/cron v1.2.0 and ParseQuantity of k8s.io/apimachinery v0.36.3
return for these texts.
"""

from decimal import Decimal

import pytest
from langfuse_policies.facts.cron import parse
from langfuse_policies.facts.quantities import parse_quantity

HOUR, DAY = 60, 24 * 60


@pytest.mark.parametrize(
    ("schedule", "minutes"),
    [
        ("@every 7200s", 2 * HOUR),
        ("@every 90m", 90),
        ("@every 1h30m", 90),
        ("@every 30m1h", 90),
        ("@every 1.5h", 90),
        ("@every 500ms", 1 / 60),
        ("0 2 */100 * *", 31 * DAY),
        ("0 2 1,,3, * *", 29 * DAY),
        ("0 2 */01 * 1", 7 * DAY),
        ("0 2 */2 * *", 2 * DAY),
        ("0 2 */2 * 1", 2 * DAY),
    ],
)
def test_a_schedule_of_kubernetes_has_the_gaps_that_its_controller_makes(schedule: str, minutes: float) -> None:
    found = parse(schedule)
    assert found is not None
    assert found.longest_gap == pytest.approx(minutes)


@pytest.mark.parametrize("schedule", ["@every ", "@every 1d", "@every 2", "@hourly ", "0 2 */٣ * *", "0 2 , * *"])
def test_what_the_controller_refuses_is_no_schedule(schedule: str) -> None:
    assert parse(schedule) is None


def test_the_operator_of_postgres_combines_days_in_another_way() -> None:
    """CronJobs start on every second day and on every Monday, CloudNativePG on Mondays that are a second day."""
    of_operator, of_kubernetes = parse("0 0 2 */2 * 1", seconds=True), parse("0 2 */2 * 1")
    assert of_operator is not None
    assert of_kubernetes is not None
    assert of_operator.days < of_kubernetes.days
    assert of_operator.longest_gap > 7 * DAY


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"), ("1Gi", "1073741824"), ("1.5Gi", "1610612736"), (".5", "0.5"), ("1.", "1"), ("+1k", "1000"),
        ("-5", "-5"), ("1e3", "1000"), ("1E3", "1000"), ("1E", "1000000000000000000"), ("2e-3", "0.002"),
        ("7n", "7E-9"), ("3u", "0.000003"), ("0.1n", "1E-9"), ("123456789012345678901", "123456789012345678901"),
        ("100Ei", "9223372036854775807"), ("0.1Gi", "107374182.4"),
    ],
)  # fmt: skip
def test_a_quantity_has_the_value_that_the_api_server_gives_it(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    ["", "5GB", "1 Gi", "1_000", "٣", "NaN", "Infinity", "0x10", "1.5.5", "--1", "5K", "1ki", "1e", "1e1.5", "1Gi\n"],
)
def test_what_the_api_server_refuses_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None
