"""Errors of commands, in words for people."""


class OperationError(Exception):
    """What happened, where, and what to do. Printed without a traceback."""


class UnreachableError(OperationError):
    """The API server does not answer, or says that it can't at the moment."""
