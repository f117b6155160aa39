"""Finds out the version of a plugin's executable."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from pathlib import Path
from typing import Final

TIMEOUT_SECONDS: Final = 20.0
VERSION: Final = re.compile(r"v?(\d+\.\d+\.\d+\S*)")
NO_ENGINE: Final = "127.0.0.1:1"


def reported_version(executable: Path) -> str | None:
    """Return the version that a resource plugin reports, None if it reports none.

    Some plugins, such as the one for Kubernetes, have no `--version` flag. They are started and called over gRPC.
    """
    return _by_flag(executable) or _by_protocol(executable)


def _by_flag(executable: Path) -> str | None:
    try:
        answer = subprocess.run(
            [executable, "--version"], capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return _version(answer)


def _by_protocol(executable: Path) -> str | None:
    import grpc  # noqa: PLC0415  # slow to import and seldom needed
    from google.protobuf import empty_pb2  # noqa: PLC0415

    from sandbox.plugins.pulumirpc import provider_pb2_grpc  # noqa: PLC0415

    try:
        process = subprocess.Popen(
            [executable, NO_ENGINE], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        port = _first_line(process, time.monotonic() + TIMEOUT_SECONDS)
        if not port.isdigit():
            return None
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            info = provider_pb2_grpc.ResourceProviderStub(channel).GetPluginInfo(
                empty_pb2.Empty(), timeout=TIMEOUT_SECONDS
            )
        return _version(info.version)
    except grpc.RpcError:
        return None
    finally:
        process.kill()
        process.wait()


def _first_line(process: subprocess.Popen[bytes], deadline: float) -> str:
    """Return the output of a process until the first line break, its end, or the deadline."""
    line = b""
    while process.stdout is not None and not line.endswith(b"\n"):
        output = process.stdout.fileno()
        readable, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
        character = os.read(output, 1) if readable else b""
        if not character:
            break
        line += character
    return line.decode(errors="replace").strip()


def _version(answer: str) -> str | None:
    match = VERSION.fullmatch(answer.strip())
    return match[1] if match else None
