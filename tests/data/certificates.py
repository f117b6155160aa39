"""Certificates of private CAs, for servers of tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import program


@contextmanager
def certificates(folder: Path) -> Iterator[dict[str, Path]]:
    """A CA, another CA, and a certificate of the first one for localhost."""
    made = {name: folder / f"{name}.pem" for name in ("ca", "other", "server")}
    for name in ("ca", "other"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            folder / f"{name}.key",
            "-out",
            made[name],
            "-subj",
            f"/CN={name}",
        )
    openssl(
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        folder / "server.key",
        "-out",
        folder / "server.csr",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    )
    openssl(
        "x509",
        "-req",
        "-in",
        folder / "server.csr",
        "-CA",
        made["ca"],
        "-CAkey",
        folder / "ca.key",
        "-days",
        "2",
        "-copy_extensions",
        "copy",
        "-out",
        made["server"],
    )
    (folder / "server.key").chmod(0o644)
    yield made


def openssl(*words: str | Path) -> None:
    subprocess.run([program("openssl", package="openssl"), *words], check=True, capture_output=True)
