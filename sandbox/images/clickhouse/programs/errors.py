"""Errors of statements, with ClickHouse's codes (src/Common/ErrorCodes.cpp)."""

from __future__ import annotations

import re
from http import HTTPStatus

UNKNOWN_TABLE = 60
TABLE_ALREADY_EXISTS = 57
SYNTAX_ERROR = 62
BAD_ARGUMENTS = 36
NOT_IMPLEMENTED = 48
DUPLICATE_COLUMN = 44
TIMEOUT_EXCEEDED = 159
TABLE_IS_READ_ONLY = 242
REPLICA_ALREADY_EXISTS = 253
ACCESS_DENIED = 497
AUTHENTICATION_FAILED = 516
KEEPER_EXCEPTION = 999
UNKNOWN = 1002

_CODE = re.compile(r"Code: (\d+)\. (DB::.*)", re.DOTALL)
_STATUS = {  # exceptionCodeToHTTPStatus (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp), those that our clients meet
    BAD_ARGUMENTS: HTTPStatus.BAD_REQUEST,
    SYNTAX_ERROR: HTTPStatus.BAD_REQUEST,
    27: HTTPStatus.BAD_REQUEST,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
    53: HTTPStatus.BAD_REQUEST,  # TYPE_MISMATCH
    117: HTTPStatus.BAD_REQUEST,  # INCORRECT_DATA
    46: HTTPStatus.NOT_FOUND,  # UNKNOWN_FUNCTION
    47: HTTPStatus.NOT_FOUND,  # UNKNOWN_IDENTIFIER
    81: HTTPStatus.NOT_FOUND,  # UNKNOWN_DATABASE
    115: HTTPStatus.NOT_FOUND,  # UNKNOWN_SETTING
    UNKNOWN_TABLE: HTTPStatus.NOT_FOUND,
    NOT_IMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    TIMEOUT_EXCEEDED: HTTPStatus.REQUEST_TIMEOUT,
    AUTHENTICATION_FAILED: HTTPStatus.FORBIDDEN,
}


class StatementError(Exception):
    """A statement failed. The text is that of ClickHouse: `Code: 60. DB::Exception: ... (UNKNOWN_TABLE)`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    @classmethod
    def of(cls, code: int, message: str, name: str) -> StatementError:
        """An error of the server itself."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def parse(cls, text: str, user: str) -> StatementError:
        """An error of the engine, whose only user is `default`, for a user of the server."""
        found = _CODE.search(text.partition("Stack trace:")[0].strip())
        if not found:
            return cls.of(UNKNOWN, text, "UNKNOWN_EXCEPTION")
        message = found[2].replace("DB::Exception: default: ", f"DB::Exception: {user}: ")
        return cls(int(found[1]), f"Code: {found[1]}. {message}")

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status of the error."""
        return _STATUS.get(self.code, HTTPStatus.INTERNAL_SERVER_ERROR)


def authentication_failed(user: str) -> StatementError:
    """The error of a wrong user or password."""
    message = f"{user}: Authentication failed: password is incorrect, or there is no user with such name."
    return StatementError.of(AUTHENTICATION_FAILED, message, "AUTHENTICATION_FAILED")


def keeper_unavailable(detail: str) -> StatementError:
    """The error of a statement that needs Keeper."""
    message = f"Coordination::Exception: All connection tries failed while connecting to ZooKeeper: {detail}."
    return StatementError(KEEPER_EXCEPTION, f"Code: {KEEPER_EXCEPTION}. {message} (KEEPER_EXCEPTION)")
