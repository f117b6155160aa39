import re

import pytest

from components.settings.load import SettingsError, parse

GOOD = {"host": "langfuse.example.com"}

FAULTS: list[tuple[dict[str, object], str]] = [
    ({"hots": "x"}, 'langfuse:hots: is not a known key; did you mean "host"?'),
    ({"zzz": "x"}, "langfuse:zzz: is not a known key; the keys here are profile, scale, host, version, namespace"),
    ({"postgres": {"storge": "5Gi"}}, 'langfuse:postgres.storge: is not a known key; did you mean "storage"?'),
    (
        {"web": {"resources": {"memroy": "1Gi"}}},
        'langfuse:web.resources.memroy: is not a known key; did you mean "memory"?',
    ),
    (
        {"postgres": {"storage": "50GB"}},
        'langfuse:postgres.storage: "50GB" is not a Kubernetes quantity; did you mean "50Gi"?',
    ),
    ({"postgres": {"storage": "50 GiB"}}, 'did you mean "50Gi"?'),
    ({"postgres": {"storage": "lots"}}, 'is not a Kubernetes quantity; write it like "50Gi"'),
    ({"postgres": {"storage": "50"}}, 'langfuse:postgres.storage: "50" is less than "1Mi"; add the unit'),
    ({"postgres": {"storage": 50}}, "langfuse:postgres.storage: 50 must be text"),
    ({"postgres": {"storage": "500m"}}, 'is in thousandths of a byte; did you mean "500Mi"?'),
    ({"web": {"resources": {"cpu": "4Gi"}}}, 'langfuse:web.resources.cpu: "4Gi" is not a number of cores'),
    ({"web": {"replicas": "two"}}, 'langfuse:web.replicas: "two" must be a whole number'),
    ({"web": {"replicas": 1.5}}, "langfuse:web.replicas: 1.5 must be a whole number"),
    ({"web": {"replicas": 0}}, "langfuse:web.replicas: 0 must be at least 1"),
    ({"web": "2"}, "langfuse:web: 2 must be a map of keys"),
    ({"web": None}, "langfuse:web: null must be a map of keys"),
    ({"protect": "maybe"}, 'langfuse:protect: "maybe" must be true or false'),
    ({"ingress": {"tls": "yes"}}, 'langfuse:ingress.tls: "yes" must be true or false'),
    ({"ingress": {"kind": "nginx"}}, "langfuse:ingress.kind: \"nginx\" must be one of 'istio' or 'none'"),
    ({"ingress": {"gateway": "public"}}, 'langfuse:ingress.gateway: "public" is not `namespace/name` of a Gateway'),
    ({"host": "https://langfuse.example.com/"}, 'did you mean "langfuse.example.com"?'),
    ({"host": "langfuse.example.com:443"}, 'did you mean "langfuse.example.com"?'),
    ({"host": "Langfuse.example.com"}, "is not a host name"),
    ({"host": "lang_fuse.example.com"}, "is not a host name"),
    ({"host": ""}, "is not a host name"),
    ({"version": "4"}, 'langfuse:version: "4" is not a Langfuse release; use an exact release'),
    ({"version": "4.16"}, "use an exact release"),
    ({"version": "latest"}, "use an exact release"),
    ({"version": "v4.16.0"}, 'did you mean "4.16.0"?'),
    ({"version": "2.95.1"}, "is not a supported Langfuse release; use 3.x or 4.x"),
    ({"namespace": "Langfuse"}, "is not a Kubernetes name"),
    ({"namespace": "a" * 64}, "is not a Kubernetes name"),
    ({"backups": {"postgresSchedule": "daily"}}, "has 1 field, a schedule has 5"),
    ({"backups": {"postgresSchedule": "0 25 * * *"}}, 'has "25" as hour, which takes 0 to 23'),
    ({"backups": {"postgresSchedule": "5-1 2 * * *"}}, 'has "5-1" as minute'),
    ({"backups": {"retentionDays": 0}}, "must be at least 1"),
    ({"objectStore": {"eventsDays": -1}}, "must be at least 1"),
    ({"firstStart": {"ownerEmail": "nobody"}}, "is not a valid email address"),
    ({"firstStart": {"organization": ""}}, "must not be empty"),
    ({"profile": "production"}, 'langfuse:profile: "production" is not a profile; choose one of dev, preview'),
    ({"application": {"logLevel": "verbose"}}, "langfuse:application.logLevel"),
    ({"stack": "other"}, "langfuse:stack: is not a known key"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=[str(fault) for fault, _ in FAULTS])
def test_one_fault_gives_one_message_with_key_and_fix(fault: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse("dev", {**GOOD, **fault})
    assert message in str(raised.value)
    assert len(re.findall(r"langfuse:\w+", str(raised.value).split(" pulumi config set")[0])) == 1


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": "http://x", "version": "4", "redis": {"storage": "1GB"}, "unknown": 1})
    lines = str(raised.value).splitlines()
    assert lines[0] == "4 problems in the configuration of stack dev:"
    assert {line.strip().split(":")[1] for line in lines[1:]} == {"host", "version", "redis.storage", "unknown"}


def test_a_missing_host_is_reported() -> None:
    with pytest.raises(SettingsError, match="langfuse:host: is required"):
        parse("dev", {})


def test_a_secret_value_is_not_shown() -> None:
    with pytest.raises(SettingsError) as raised:
        parse("dev", {"host": "not a host hunter2"}, secret={"host"})
    assert "hunter2" not in str(raised.value)
    assert "[secret]" in str(raised.value)


def test_maps_are_read_from_json_text() -> None:
    settings = parse("dev", {**GOOD, "web": '{"replicas": 3}', "protect": "true"})
    assert (settings.web.replicas, settings.protect) == (3, True)


def test_a_stack_file_overrides_only_the_keys_that_it_sets() -> None:
    plain, changed = parse("dev", GOOD), parse("dev", {**GOOD, "web": {"resources": {"memory": "3Gi"}}})
    assert changed.web.resources.memory == "3Gi"
    assert changed.web.resources.cpu == plain.web.resources.cpu
    assert changed.postgres == plain.postgres


@pytest.mark.parametrize("stack", ["dev", "staging", "prod", "preview"])
def test_a_host_is_the_only_required_key_of_every_profile(stack: str) -> None:
    settings = parse(stack, GOOD)
    assert (settings.profile, settings.namespace, settings.instance) == (
        stack,
        f"langfuse-{stack}",
        f"langfuse-{stack}",
    )


def test_a_stack_of_another_name_can_choose_a_profile() -> None:
    settings = parse("pr-7", {**GOOD, "profile": "preview"})
    assert (settings.profile, settings.namespace) == ("preview", "langfuse-pr-7")


def test_prod_is_protected_and_dev_is_not() -> None:
    assert parse("prod", GOOD).protect
    assert not parse("dev", GOOD).protect


@pytest.mark.parametrize(
    "good",
    [
        {"postgres": {"storage": "1.5Ti"}},
        {"postgres": {"storage": "500G"}},
        {"web": {"resources": {"cpu": "1.5"}}},
        {"backups": {"postgresSchedule": "*/15 0-6,22 1 */2 0"}},
        {"version": "3.225.4"},
        {"host": "langfuse.localhost"},
        {"host": "xn--bcher-kva.example"},
        {"ingress": {"kind": "none"}},
    ],
)
def test_unusual_valid_values_are_accepted(good: dict[str, object]) -> None:
    parse("dev", {**GOOD, **good})
