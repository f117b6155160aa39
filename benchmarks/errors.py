"""The one kind of error that people see."""


class BenchmarkError(Exception):
    """Why a benchmark has no result; shown without a traceback."""
