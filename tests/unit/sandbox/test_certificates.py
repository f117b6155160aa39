from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.certificates import LIFETIME, RENEW_BEFORE, Authority, Identity, ensure_signing_key, write_private

SERVER = Identity("server", "the-server", hosts=("localhost", "127.0.0.1"))
CLIENT = Identity("client", "the-user", groups=("system:masters",))


def load(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_identities_carry_user_groups_hosts_and_usage(tmp_path: Path) -> None:
    assert Authority(tmp_path, "ca").ensure([SERVER, CLIENT]) == ["server", "client"]
    client, server = load(tmp_path / "client.crt"), load(tmp_path / "server.crt")
    for certificate in (client, server):
        certificate.verify_directly_issued_by(load(tmp_path / "ca.crt"))
    assert client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "the-user"
    assert client.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:masters"
    usage = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == {"localhost", "127.0.0.1"}
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_valid_certificates_are_kept(tmp_path: Path) -> None:
    Authority(tmp_path, "ca").ensure([SERVER])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert Authority(tmp_path, "ca").ensure([SERVER]) == []
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("margin", "renewed"), [(timedelta(days=1), True), (timedelta(days=-1), False)])
def test_certificates_are_renewed_before_they_expire(tmp_path: Path, margin: timedelta, renewed: bool) -> None:
    now = datetime.now(UTC)
    Authority(tmp_path, "ca", now).ensure([SERVER])
    later = now + LIFETIME - RENEW_BEFORE + margin
    authority = (tmp_path / "ca.crt").read_bytes()
    assert Authority(tmp_path, "ca", later).ensure([SERVER]) == (["server"] if renewed else [])
    assert (tmp_path / "ca.crt").read_bytes() == authority


def test_a_changed_identity_is_reissued(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    authority.ensure([SERVER])
    assert authority.ensure([Identity("server", "the-server", hosts=("localhost",))]) == ["server"]
    assert authority.ensure([Identity("server", "another", hosts=("localhost",))]) == ["server"]


def test_a_certificate_of_another_authority_is_reissued(tmp_path: Path) -> None:
    Authority(tmp_path, "ca").ensure([SERVER])
    (tmp_path / "ca.key").unlink()
    assert Authority(tmp_path, "ca").ensure([SERVER]) == ["server"]


@pytest.mark.parametrize("name", ["server.crt", "server.key", "ca.crt"])
def test_damaged_files_are_reissued(tmp_path: Path, name: str) -> None:
    Authority(tmp_path, "ca").ensure([SERVER])
    (tmp_path / name).write_text("garbage")
    assert Authority(tmp_path, "ca").ensure([SERVER]) == ["server"]
    load(tmp_path / "server.crt").verify_directly_issued_by(load(tmp_path / "ca.crt"))


def test_the_signing_key_is_never_renewed(tmp_path: Path) -> None:
    ensure_signing_key(tmp_path, "service-account")
    before = (tmp_path / "service-account.key").read_bytes()
    ensure_signing_key(tmp_path, "service-account")
    assert (tmp_path / "service-account.key").read_bytes() == before


def test_files_are_private_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "pki"
    Authority(folder, "ca").ensure([SERVER])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fdopen", full)
    with pytest.raises(OSError, match="No space"):
        write_private(folder / "ca.crt", b"half")
    assert b"BEGIN" in (folder / "ca.crt").read_bytes()
    assert not list(folder.glob(".*"))
