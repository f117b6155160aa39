"""Names of buckets: which are refused, and which give a warning."""

from collections.abc import Mapping

import pulumi
import pytest

from tests.unit.configuration import only_problem, settings
from tests.unit.program import run

EXISTING = {"credentials": {"source": "existing", "secret": "langfuse-credentials"}}
BUCKETS = {"events": "a-events", "media": "a-media", "exports": "a-exports", "backups": "a-backups"}
OFF_SITE = {"endpoint": "https://s3.example.com", "bucket": "copies", "secret": "off-site"}


def external(
    names: Mapping[str, str] | None = None, *, manage: bool = True, off_site: Mapping[str, str] | None = None
) -> dict[str, object]:
    buckets = {**BUCKETS, **(names or {})}
    store = {"mode": "external", "region": "eu-central-1", "buckets": buckets, "manageBuckets": manage}
    copies = {"backups": {"offSite": {**OFF_SITE, **off_site}}} if off_site else {}
    return {**EXISTING, "objectStore": store, **copies}


def managed(**off_site: str) -> dict[str, object]:
    return {"backups": {"offSite": {**OFF_SITE, **off_site}}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            external(dict.fromkeys(BUCKETS, "one")),
            'objectStore.buckets.backups: "one" is also the bucket of events and media and exports.',
        ),
        (external({"media": "a-events"}), 'objectStore.buckets.media: "a-events" is also the bucket of events.'),
        (external({"backups": "a-exports"}), 'objectStore.buckets.backups: "a-exports" is also the bucket of exports.'),
        (
            external(off_site={"bucket": "a-backups"}),
            'backups.offSite.bucket: "a-backups" is a bucket of this installation',
        ),
        (
            managed(bucket="langfuse-dev-media"),
            'backups.offSite.bucket: "langfuse-dev-media" is a bucket of this installation',
        ),
        (managed(endpoint="http://langfuse-object-store:9000"), "backups.offSite.endpoint: "),
        (managed(endpoint="http://langfuse-object-store.langfuse-dev.svc:9000"), "the copies would be lost with it"),
        (managed(endpoint="https://langfuse.example.com"), "the copies would be lost with it"),
    ],
)
def test_buckets_that_would_lose_data_are_refused(config: dict[str, object], message: str) -> None:
    assert message in only_problem(config)


@pytest.mark.parametrize(
    "config",
    [
        external(),
        external({"media": "a-events"}, manage=False),
        external(off_site={"bucket": "copies"}),
        managed(),
        managed(endpoint="https://langfuse-object-store.other.svc:9000"),
    ],
)
def test_safe_buckets_are_accepted(config: dict[str, object]) -> None:
    settings(config)


def test_an_external_bucket_for_two_purposes_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda message, *_: warnings.append(message))
    run("dev", external(manage=False))
    assert [one for one in warnings if "is used for" in one] == []
    run("dev", external({"media": "a-events"}, manage=False))
    (warning,) = (one for one in warnings if "is used for" in one)
    assert warning.startswith("objectStore.buckets: a-events is used for events, media.")
