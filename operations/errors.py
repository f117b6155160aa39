"""Errors of commands, in words for people."""


class OperationError(Exception):
    """What happened, where, and what to do. Printed without a traceback."""
