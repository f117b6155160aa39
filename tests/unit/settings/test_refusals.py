"""What the whole program does with a malformed stack file, as the engine hands it on."""

import re

import pytest

from components.settings.load import SettingsError
from tests.unit import recorder
from tests.unit.program import run
from tests.unit.settings.test_malformed_stacks import FAULTS, Fault, name


@pytest.mark.parametrize("fault", FAULTS, ids=name)
def test_a_fault_is_told_without_a_traceback_before_anything_is_registered(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pulumi shows a RunError by its message alone."""
    registered = recorder.Recording()
    monkeypatch.setattr(recorder, "Recording", lambda: registered)
    with pytest.raises(SettingsError, match=re.escape(f"langfuse:{fault.key}: ")):
        run(fault.stack, fault.config)
    assert not registered.resources


def test_the_program_registers_something_without_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    registered = recorder.Recording()
    monkeypatch.setattr(recorder, "Recording", lambda: registered)
    run("dev", {})
    assert registered.resources
