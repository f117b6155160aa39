"""A small OpenID Connect provider: it signs in the user that a test names, without a form."""

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.http_server import QuietHandler, http_server

CLIENT_ID = "langfuse"
CODE = "one"


@dataclass
class Provider:
    """A running provider."""

    issuer: str = ""
    email: str = "owner@example.com"
    """The user that it signs in."""
    claims: Mapping[str, object] = field(default_factory=dict)
    """Further claims of its tokens."""
    secrets: list[str] = field(default_factory=list)
    """The credentials of clients that asked for a token."""


@contextlib.contextmanager
def identity_provider() -> Iterator[Provider]:
    """Run a provider until the end of the block."""
    provider, key = Provider(), rsa.generate_private_key(public_exponent=65537, key_size=2048)

    class Handler(QuietHandler):
        def do_GET(self) -> None:  # noqa: N802  # named by the base class
            url = urlsplit(self.path)
            if url.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                self.send_response(302)
                answer = urlencode({"code": CODE, "state": asked["state"]})
                self.send_header("Location", f"{asked['redirect_uri']}?{answer}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(_discovery(provider.issuer) if url.path.startswith("/.well-known/") else key_set(key))

        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            provider.secrets.append(f"{self.headers.get('Authorization', '')} {body}")
            self._send(
                {"access_token": "x", "token_type": "Bearer", "expires_in": 3600, "id_token": _token(provider, key)}
            )

        def _send(self, value: Mapping[str, object]) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http_server(Handler) as port:
        provider.issuer = f"http://127.0.0.1:{port}"
        yield provider


def _discovery(issuer: str) -> Mapping[str, object]:
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    }


def key_set(key: rsa.RSAPrivateKey) -> Mapping[str, object]:
    """The public key as a JSON Web Key Set (RFC 7517)."""
    numbers = key.public_key().public_numbers()
    parts = {
        name: _base64(value.to_bytes((value.bit_length() + 7) // 8))
        for name, value in (("n", numbers.n), ("e", numbers.e))
    }
    return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "one", **parts}]}


def signed(claims: Mapping[str, object], key: rsa.RSAPrivateKey) -> str:
    """A token (JWT) that is valid for an hour, unless the claims say something else."""
    now = int(time.time())
    head = {"alg": "RS256", "typ": "JWT", "kid": "one"}
    parts = (head, {"iat": now, "exp": now + 3600, **claims})
    text = ".".join(_base64(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _token(provider: Provider, key: rsa.RSAPrivateKey) -> str:
    user = {"sub": provider.email, "email": provider.email, "email_verified": True}
    return signed({"iss": provider.issuer, "aud": CLIENT_ID, **user, **provider.claims}, key)


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
