"""The error that the sandbox shows to people."""


class SandboxError(Exception):
    """A problem and its fix; shown without a traceback."""

    def __init__(self, problem: str, fix: str) -> None:
        """`problem` names what failed and where, `fix` what to do."""
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem = problem
        self.fix = fix
