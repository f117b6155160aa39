"""The error that a plugin shows to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message


class PluginError(Exception):
    """An error that is shown as its message alone.

    `detail` is a protobuf message for the engine, such as `ErrorResourceInitFailed` for a resource that was created but
    is not ready. `code` is the name of a gRPC status code.
    """

    def __init__(self, message: str, *, code: str = "UNKNOWN", detail: Message | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.detail = detail
