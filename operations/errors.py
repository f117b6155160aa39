"""What a command of an operator can't do, in words for people."""


class OperationError(Exception):
    """What happened, where, and what to do about it; shown without a traceback."""
