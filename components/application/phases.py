"""The variables of each phase of the way from version 3 of Langfuse to version 4."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from components.kubernetes.variables import Environment
from components.schema.application import Phase
from components.schema.environment import Settings

BACKFILL: Final = "LANGFUSE_BACKGROUND_MIGRATION_V4_ENABLE_HISTORIC_BACKFILL"
"""The gate of the backfill's background migrations."""

_NAMES: Final = (
    "LANGFUSE_MIGRATION_V4_WRITE_MODE",
    "LANGFUSE_MIGRATION_V4_ALLOW_PREVIEW_OPT_IN",
    "LANGFUSE_MIGRATION_V4_NATIVE_OTEL_BEHAVIOUR",
    BACKFILL,
)
_READ_BY_WEB: Final = 2
"""How many of them web reads (web/src/env.mjs)."""

_VALUES: Final[Mapping[Phase, Sequence[str]]] = {
    "legacy": ("legacy", "false", "dual_write", "false"),
    "dual": ("dual", "true", "dual_write", "false"),
    "backfill": ("dual", "true", "dual_write", "true"),
    # As the release's defaults. In a new installation, the backfill finds nothing and ends at once.
    "events_only": ("events_only", "true", "direct", "true"),
}
"""worker/src/env.ts: `validateV4Flags` refuses other combinations, or they lose rows (upgrade guide v3 to v4)."""


def write_mode(phase: Phase) -> str:
    """What the worker writes in a phase."""
    return _VALUES[phase][_NAMES.index("LANGFUSE_MIGRATION_V4_WRITE_MODE")]


def phase_environment(settings: Settings, program: Literal["web", "worker"]) -> Environment:
    """The variables of the phase. A value in `extraEnv` with `insist` replaces one of them."""
    variables = list(zip(_NAMES, _VALUES[settings.phase], strict=True))
    return dict(variables[:_READ_BY_WEB] if program == "web" else variables)
