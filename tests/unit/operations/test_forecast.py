import json
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from operations.__main__ import app
from operations.day import Day, read_day
from operations.errors import OperationError
from operations.forecast import Forecast, Pods, Scaler
from operations.sizing import environment

OFFICE = Day(rates=[(0, 2), (8, 30), (9, 200), (12, 120), (18, 10)])


def written(folder: Path, text: str, name: str = "day.csv") -> Path:
    file = folder / name
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    "text",
    [
        "hour,events/s\n0,2\n9:30,50\n18,4\n",
        "0,2\n9.5,50\n18,4",
        "[[0, 2], [9.5, 50], [18, 4]]",
        '{"0": 2, "9:30": 50, "18": 4}',
        '\ufeff"hour","rate"\r\n"0","2"\r\n"9.5","50"\r\n"18","4"\r\n',
    ],
)
def test_a_day_is_csv_or_json(tmp_path: Path, text: str) -> None:
    day = read_day(written(tmp_path, text))
    assert [day.at(hour * 3600) for hour in (0, 9, 10, 17, 18, 23)] == [2, 2, 50, 50, 4, 4]
    assert day.peak == 50
    assert day.mean == pytest.approx((9.5 * 2 + 8.5 * 50 + 6 * 4) / 24)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hour,rate\n0,fast\n", "line 2 has hour '0' and rate 'fast'; write them like 13 and 12.5"),
        ("0,1\n24,2\n", "line 2 has hour '24'"),
        ("0,-1\n", "line 1 has hour '0' and rate '-1'"),
        ("0\n", "line 1 has hour '0' and rate ''"),
        ("8,2\n", "begins at hour 8.0; the first row must be hour 0"),
        ("", "begins at hour none"),
        ("0,1\n9,2\n8,3\n", "must increase; sort the rows"),
        ("0,0\n", "has no rate above 0"),
        ("[1, 2]", "entry 1 is no pair"),
        ("[[0, 1]", "is not JSON"),
    ],
)
def test_a_mistake_names_the_line_and_the_rule(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OperationError) as raised:
        read_day(written(tmp_path, text))
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_pods_follow_the_day_and_the_backlog_is_cleared() -> None:
    hours = Forecast.of(OFFICE, environment("prod", "large")).hours
    assert len(hours) == 24
    assert hours[10].worker > hours[3].worker
    assert hours[10].web > hours[3].web
    assert hours[9].backlog > hours[10].backlog  # the rate rises at nine faster than pods start
    assert hours[9].wait_seconds > hours[10].wait_seconds
    assert all(hour.backlog <= 500 * hour.worker for hour in hours[10:])  # as much as a pod is meant to have
    assert all(hour.backlog == 0 for hour in hours[19:])
    assert hours[23].worker < hours[10].worker


def test_a_load_above_the_limit_leaves_a_backlog_that_grows() -> None:
    hours = Forecast.of(Day(rates=[(0, 1), (1, 1e5)]), environment("prod", "medium")).hours
    assert hours[2].backlog > hours[1].backlog > 0
    assert hours[1].worker <= 100


def test_a_scaler_is_quick_to_grow_and_slow_to_shrink() -> None:
    pods = Pods(
        least=2,
        most=20,
        events_per_second=25,
        cpu_events_per_second=100,
        cpu_percent=50,
        drain_seconds=330,
        jobs_per_pod=500,
    )
    scaler = Scaler(pods)
    scaler.decide(0, 50, 5000)
    assert (scaler.wanted, scaler.ready(30), scaler.ready(60)) == (6, 2, 6)  # four more in one step
    scaler.decide(15, 50, 5000)
    assert scaler.wanted == 10
    counts = []
    for now in range(30, 3000, 15):
        scaler.decide(now, 0, 0)
        counts.append((now, scaler.wanted))
    assert all(count == 10 for now, count in counts if now < 315)  # five minutes in which fewer have sufficed
    removed = [(now, before - after) for (_, before), (now, after) in pairwise(counts)]
    for now, _ in counts:
        assert sum(count for then, count in removed if now - 330 < then <= now) <= 2  # a quarter in a grace period
    assert counts[-1][1] == 2


def test_the_command_shows_the_day(tmp_path: Path) -> None:
    file = written(tmp_path, "hour,events/s\n0,1\n9,20\n18,2\n")
    command = ["sizing", "--load", str(file), "--retention-days", "30"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "queueLength" in result.output
    assert result.output.count(":00") >= 24
    found = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert len(found["day"]["hours"]) == 24
    assert found["day"]["hours"][9]["events_per_second"] == 20
    needs = {need["key"]: need for need in found["needs"]}
    assert "20 events/s" in needs["langfuse:worker.replicas"]["formula"]  # pods are for the peak
    assert "20 events/s" not in needs["langfuse:clickhouse.storage"]["formula"]  # and volumes for the mean


def test_the_command_wants_one_load(tmp_path: Path) -> None:
    file = written(tmp_path, "0,1\n")
    for words in ([], ["--events-per-second", "5", "--load", str(file)]):
        result = CliRunner().invoke(app, ["sizing", "--retention-days", "30", *words])
        assert result.exit_code == 2
        assert "one of --events-per-second and --load" in result.output.replace("\n", " ")
    missing = CliRunner().invoke(app, ["sizing", "--retention-days", "30", "--load", str(tmp_path / "none.csv")])
    assert missing.exit_code == 2
    assert "can't be read" in missing.output.replace("\n", " ")
