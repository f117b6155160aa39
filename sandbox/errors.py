"""The one kind of error that people see."""


class SandboxError(Exception):
    """What went wrong, where, and what to do about it; shown without a traceback."""

    def __init__(self, problem: str, fix: str) -> None:
        """Keep both parts apart, so that tests and `--json` can tell them from each other."""
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem = problem
        self.fix = fix
