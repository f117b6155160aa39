import pytest

from components.settings.load import SettingsError, parse

GOOD = {"host": "langfuse.example.com"}


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
