"""One schedule of the configuration starts the dumps of a CronJob and the base backups of CloudNativePG."""

import pytest

from components.schema.policy_library import cron
from components.schema.schedules import with_seconds


@pytest.mark.parametrize(
    "schedule",
    [
        "15 */6 * * *",
        "0 2 */2 * 1",
        "0 2 1,*/3 * */2",
        "0 2 ?/10 jan mon",
        "0 2 */1 * 1",
        "0 2 */02 * 1",
        "0 2 */10,*/12 * 3",
    ],
)
def test_both_controllers_start_at_the_same_times(schedule: str) -> None:
    assert cron.parse(with_seconds(schedule), seconds=True) == cron.parse(schedule)
