"""Certificates, keys and kubeconfigs of the control plane: created once, private, renewed before they expire."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)

CONTEXT = "sandbox"

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class Identity:
    """One certificate: `name` is the name of its files, Kubernetes reads `user` and `groups` from its subject."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()  # names and addresses of a server; empty for a client


def write_private(file: Path, content: bytes) -> None:
    """Write a file atomically, readable by its owner only from the first moment."""
    descriptor, partial = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # creates it with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        Path(partial).replace(file)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


class Authority:
    """A certificate authority, `<name>.crt` and `<name>.key` in a folder, with the certificates that it has signed."""

    def __init__(self, folder: Path, name: str, now: datetime | None = None) -> None:
        """Load the authority, or create one if there is none or it expires within a year."""
        self.folder = folder
        self.certificate_file = folder / f"{name}.crt"
        self._now = now or datetime.now(UTC)
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        certificate, key = _load(folder, name)
        if certificate is None or key is None or self._expires_within(certificate, LIFETIME):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(_subject(name, ()), key.public_key(), AUTHORITY_LIFETIME, key, None)
            _store(folder, name, certificate, key)
        self._certificate = certificate
        self._key = key

    def ensure(self, identities: Iterable[Identity]) -> list[str]:
        """Issue certificates that are missing, about to expire or different; return the names of those issued."""
        issued = [identity for identity in identities if not self._is_valid(identity)]
        for identity in issued:
            key = ec.generate_private_key(ec.SECP256R1())
            _store(self.folder, identity.name, self._issue(identity, key.public_key()), key)
        return [identity.name for identity in issued]

    def _is_valid(self, identity: Identity) -> bool:
        certificate, key = _load(self.folder, identity.name)
        if certificate is None or key is None or certificate.public_key() != key.public_key():
            return False
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        same_subject = certificate.subject == _subject(identity.user, identity.groups)
        return (
            same_subject
            and _hosts(certificate) == set(identity.hosts)
            and not self._expires_within(certificate, RENEW_BEFORE)
        )

    def _expires_within(self, certificate: x509.Certificate, margin: timedelta) -> bool:
        return certificate.not_valid_after_utc - margin < self._now

    def _issue(self, identity: Identity, key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        return self._sign(_subject(identity.user, identity.groups), key, LIFETIME, self._key, identity)

    def _sign(
        self,
        subject: x509.Name,
        public_key: ec.EllipticCurvePublicKey,
        lifetime: timedelta,
        signer: ec.EllipticCurvePrivateKey,
        identity: Identity | None,
    ) -> x509.Certificate:
        """Sign the certificate of an identity, or of the authority itself if `identity` is None."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._certificate.subject if identity else subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - CLOCK_SKEW)
            .not_valid_after(self._now + lifetime)
            .add_extension(x509.BasicConstraints(ca=identity is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .add_extension(_key_usage(authority=identity is None), critical=True)
        )
        if identity:
            usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
            if identity.hosts:
                usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
                names = x509.SubjectAlternativeName([_general_name(host) for host in identity.hosts])
                builder = builder.add_extension(names, critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(signer, hashes.SHA256())


def ensure_signing_key(folder: Path, name: str) -> None:
    """Create the key pair that signs service-account tokens, `<name>.key` and `<name>.pub`. It is never renewed."""
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    if private.exists() and public.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    write_private(private, _private_bytes(key))
    write_private(
        public,
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    )


def kubeconfig(server: str, pki: Path, user: str) -> bytes:
    """A kubeconfig that embeds its certificates, so that it can be copied. It is JSON, which is valid YAML."""

    def embedded(file: str) -> str:
        return base64.b64encode((pki / file).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": embedded("ca.crt")}
    credentials = {"client-certificate-data": embedded(f"{user}.crt"), "client-key-data": embedded(f"{user}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
        "current-context": CONTEXT,
    }
    return json.dumps(content, indent=2).encode()


def _subject(user: str, groups: tuple[str, ...]) -> x509.Name:
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _load(folder: Path, name: str) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    """Load a certificate and its key; None for each that is missing or damaged."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None, None
    return certificate, key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _store(folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    write_private(folder / f"{name}.key", _private_bytes(key))
    write_private(folder / f"{name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _private_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
