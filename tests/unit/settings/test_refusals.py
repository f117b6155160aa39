"""The whole program with a malformed configuration, as the engine passes it on."""

import re

import pytest

from components.settings.load import SettingsError
from tests.unit import recorder
from tests.unit.program import run
from tests.unit.settings.test_malformed_stacks import FAULTS, Fault, name


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_a_fault_is_reported_before_anything_is_registered(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulumi shows a RunError by its message alone."""
    registered = recorder.Recording()
    monkeypatch.setattr(recorder, "Recording", lambda: registered)
    with pytest.raises(SettingsError, match=re.escape(f"langfuse:{fault.key}: ")):
        run(fault.stack, fault.config)
    assert not registered.resources


def test_a_valid_configuration_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = recorder.Recording()
    monkeypatch.setattr(recorder, "Recording", lambda: registered)
    run("dev", {})
    assert registered.resources
