"""`images lock` against the registry of the sandbox, over the real protocol."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from components.settings import image_lock
from operations import cluster, registry
from operations import images as locking
from operations.__main__ import app
from operations.errors import OperationError
from operations.pulumi import Pulumi
from operations.registry import Credentials
from sandbox import images as sandbox_images
from sandbox.errors import SandboxError
from sandbox.images import oci
from sandbox.node import registry as sandbox_registry

USER, PASSWORD, TOKEN = "robot", "c0rrect-h0rse", "t0ken-of-the-registry"


class Registry(sandbox_registry.Handler):
    """The registry of the sandbox, with tokens: it challenges requests, and its token service wants a login."""

    challenge: str = ""
    asked: list[str]

    def do_GET(self) -> None:  # noqa: N802  # ditto
        url = urlsplit(self.path)
        given = self.headers.get("Authorization", "")
        if url.path == "/token":
            scope = parse_qs(url.query)["scope"][0]
            self.asked.append(scope)
            good = given == f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
            self._send_json(200 if good else 401, {"token": TOKEN} if good else {})
        elif self.challenge and given != f"Bearer {TOKEN}":
            self.send_response(401)
            name = url.path.removeprefix("/v2/").rpartition("/manifests/")[0]
            self.send_header("WWW-Authenticate", f'{self.challenge},scope="repository:{name}:pull"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815  # ditto

    def do_POST(self) -> None:  # noqa: N802  # ditto
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        good = (form["grant_type"], form["refresh_token"]) == (["refresh_token"], [PASSWORD])
        self._send_json(200 if good else 401, {"access_token": TOKEN} if good else {})

    def _send_json(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str]:
    """An image in the format of the sandbox, and its digest."""
    manifest = json.dumps({"schemaVersion": 2, "config": {}, "layers": []}).encode()
    file, digest = tmp_path / "image.tar", oci.digest(manifest)
    descriptor = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": digest,
        "size": len(manifest),
    }
    oci.write_layout(file, "example", descriptor, {digest: manifest})
    return file, digest


@pytest.fixture
def server(archive: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a registry that has every image."""
    monkeypatch.setattr(sandbox_images, "ensure", lambda names: dict.fromkeys(names, archive[0]))
    Registry.archives, Registry.challenge, Registry.asked = sandbox_registry.Archives(), "", []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def stack(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stack file with the registry as its mirror, and an empty lock file."""
    monkeypatch.setattr(image_lock.read, "__defaults__", (tmp_path / "images.lock.json",))
    monkeypatch.setattr(image_lock.write, "__defaults__", (tmp_path / "images.lock.json",))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    config = {
        "langfuse:host": "langfuse.example.com",
        "langfuse:images": {"registry": f"{server}/mirror", "pullSecrets": ["mirror"]},
        "langfuse:mail": {"secure": "v1:encrypted"},
    }
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    monkeypatch.setattr(cluster.Cluster, "get", lambda _self, wanted: secret(server, wanted))
    return file


def secret(server: str, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    assert (wanted["kind"], wanted["metadata"]["name"], wanted["metadata"]["namespace"]) == (
        "Secret",
        "mirror",
        "langfuse-dev",
    )
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    text = json.dumps({"auths": {f"https://{server}": {"auth": auth}}})
    return {"data": {".dockerconfigjson": base64.b64encode(text.encode()).decode()}}


def test_a_real_look_up_writes_the_lock_file(stack: Path, server: str, archive: tuple[Path, str]) -> None:
    Registry.challenge = f'Bearer realm="http://{server}/token",service="registry"'
    result = CliRunner().invoke(app, ["images", "lock", "--stack", "dev", "--config-file", str(stack)])
    assert result.exit_code == 0, result.output
    written = json.loads((stack.parent / "images.lock.json").read_text())
    assert written[f"{server}/mirror/langfuse/langfuse-worker:4.82.0"] == archive[1]
    assert set(written.values()) == {archive[1]}
    assert len(written) == 9
    assert "repository:mirror/langfuse/langfuse:pull" in Registry.asked
    assert PASSWORD not in result.output
    assert TOKEN not in result.output
    assert result.output.count("new ") == 9


def test_a_second_look_up_changes_nothing_and_keeps_other_stacks(stack: Path) -> None:
    file, other = stack.parent / "images.lock.json", {"docker.io/other/stack:1.0": f"sha256:{'b' * 64}"}
    file.write_text(json.dumps(other))
    locking.lock(Pulumi("dev", stack))
    first = file.read_text()
    assert other.items() <= json.loads(first).items()
    assert all(change.before == change.after for change in locking.lock(Pulumi("dev", stack)))
    assert file.read_text() == first


def test_an_upgrade_of_postgres_locks_its_image_if_the_others_are_locked(stack: Path, server: str) -> None:
    file, pulumi = stack.parent / "images.lock.json", Pulumi("dev", stack)
    assert locking.lock_another(pulumi, "docker.io/library/postgres:18.4") == []
    assert not file.exists()
    locking.lock(pulumi)
    (change,) = locking.lock_another(pulumi, "docker.io/library/postgres:18.4")
    assert change.name == f"{server}/mirror/library/postgres:18.4"
    assert len(json.loads(file.read_text())) == 10
    assert locking.lock_another(pulumi, "docker.io/library/postgres:18.4") == []


def test_a_tag_that_was_moved_is_reported(stack: Path) -> None:
    locking.lock(Pulumi("dev", stack))
    file = stack.parent / "images.lock.json"
    name = next(iter(json.loads(file.read_text())))
    file.write_text(json.dumps({**json.loads(file.read_text()), name: f"sha256:{'b' * 64}"}))
    result = CliRunner().invoke(app, ["images", "lock", "--stack", "dev", "--config-file", str(stack)])
    assert f"warning: {name} was sha256:{'b' * 64}: its tag was moved" in result.output


def test_what_cannot_be_looked_up_is_never_invented(stack: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_names: object) -> None:
        raise SandboxError("no such image", "pack it")

    monkeypatch.setattr(sandbox_images, "ensure", missing)
    with pytest.raises(OperationError, match=r"9 of 9 images could not be locked:\n.*the registry has no such image"):
        locking.lock(Pulumi("dev", stack))
    assert not (stack.parent / "images.lock.json").exists()


@pytest.mark.parametrize(
    ("challenge", "login", "problem"),
    [
        (
            'Bearer realm="http://{0}/token",service="r"',
            ("robot", "wr0ng-h0rse"),
            "token service answered with status 401",
        ),
        ('Basic realm="r"', None, "asks for credentials"),
        ('Basic realm="r"', ("robot", "wr0ng-h0rse"), "the registry refused the credentials"),
    ],
)
def test_a_registry_that_refuses_is_named_without_a_credential(
    server: str, challenge: str, login: tuple[str, str] | None, problem: str
) -> None:
    Registry.challenge = challenge.format(server)
    credentials = Credentials({server: login} if login else {})
    with pytest.raises(OperationError, match=problem) as raised:
        registry.digest(f"{server}/a/b:1", credentials)
    assert f"{server}/a/b:1: " in str(raised.value)
    assert "wr0ng" not in str(raised.value)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Docker's configuration. `docker-credential-test` in it is a credential helper."""
    answer = {"ServerURL": "x", "Username": USER, "Secret": PASSWORD}
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        f"""#!/bin/sh
        test "$1" = get || exit 2
        read -r server || true
        echo "$server" >> {tmp_path}/asked
        case $server in *known*|127.0.0.1:*) echo '{json.dumps(answer)}' ;; *) echo no; exit 1 ;; esac
        """
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("config", "known"),
    [
        ({"credsStore": "test", "auths": {"known.example.com": {}}}, {"known.example.com"}),
        ({"credHelpers": {"known.example.com": "test", "other.example.com": "missing"}}, {"known.example.com"}),
        ({"credHelpers": {"https://known.example.com": "test"}, "credsStore": "missing"}, {"known.example.com"}),
        ({"credsStore": "missing"}, set()),
        ({"auths": {"known.example.com": {"auth": ""}}}, set()),
    ],
)
def test_credential_helpers_are_asked_as_docker_does(docker: Path, config: Mapping[str, Any], known: set[str]) -> None:
    """`docker login` keeps its password in one on desktops, and clouds have their own."""
    (docker / "config.json").write_text(json.dumps(config))
    found = registry.of_this_machine({"known.example.com", "other.example.com", "docker.io"})
    assert {name for name in ("known.example.com", "other.example.com", "docker.io") if found.of(f"{name}/a")} == known
    assert all(found.of(f"{name}/a/b") == (USER, PASSWORD) for name in known)


def test_docker_hub_has_its_own_name_in_credential_helpers(docker: Path) -> None:
    (docker / "config.json").write_text(json.dumps({"credsStore": "test"}))
    assert registry.of_this_machine({"docker.io"}).of("docker.io/a") is None
    assert (docker / "asked").read_text() == "https://index.docker.io/v1/\n"


def test_the_lock_uses_a_credential_helper(stack: Path, server: str, docker: Path) -> None:
    Registry.challenge = f'Bearer realm="http://{server}/token",service="registry"'
    (docker / "config.json").write_text(json.dumps({"credHelpers": {server: "test"}}))
    content = yaml.safe_load(stack.read_text())
    del content["config"]["langfuse:images"]["pullSecrets"]
    stack.write_text(yaml.safe_dump(content))
    assert len(locking.lock(Pulumi("dev", stack))) == 9


def test_an_identity_token_is_exchanged(server: str, archive: tuple[Path, str]) -> None:
    """Azure's registry has them, from `docker login` and from helpers."""
    Registry.challenge = f'Bearer realm="http://{server}/token",service="registry"'
    for auth in ({"auth": base64.b64encode(b"0000:").decode(), "identitytoken": PASSWORD}, {"identitytoken": PASSWORD}):
        credentials = Credentials.of_docker(json.dumps({"auths": {server: auth}}), "config.json")
        assert registry.digest(f"{server}/a/b:1", credentials) == archive[1]


SIGN_IN = {
    "issuer": "https://sso.example.com",
    "clientId": "langfuse",
    "clientSecret": {"source": "existing", "secret": "sso", "key": "SECRET"},
}


def test_the_lock_knows_the_name_and_the_sign_in_of_the_installation(stack: Path, server: str) -> None:
    """The namespace of the pull secrets follows from `instance`, without which this name of a stack is refused."""
    content = yaml.safe_load(stack.read_text())
    content["config"] |= {
        "langfuse:profile": "dev",
        "langfuse:instance": "langfuse-dev",
        "langfuse:mesh": {"mode": "none"},
        "langfuse:ingress": {"kind": "gateway-api", "gateway": "gateways/public", "authentication": SIGN_IN},
    }
    stack.write_text(yaml.safe_dump(content))
    names = [change.name for change in locking.lock(Pulumi("My_Team.dev", stack))]
    assert f"{server}/mirror/oauth2-proxy/oauth2-proxy" in {name.rpartition(":")[0] for name in names}


def test_an_unreachable_registry_is_named() -> None:
    with pytest.raises(OperationError, match=r"registry 127\.0\.0\.1:1 can't be reached"):
        registry.digest("127.0.0.1:1/a/b:1", Credentials())


def test_credentials_belong_to_the_longest_path() -> None:
    auths = {
        "https://index.docker.io/v1/": {"username": "hub", "password": "1"},
        "r.example.com": {"username": "all", "password": "2"},
        "r.example.com/team": {"auth": base64.b64encode(b"team:3:4").decode()},
        "helper.example.com": {},
    }
    found = Credentials.of_docker(json.dumps({"auths": auths}), "config.json")
    assert found.of("docker.io/langfuse/langfuse") == ("hub", "1")
    assert found.of("r.example.com/team/langfuse") == ("team", "3:4")
    assert found.of("r.example.com/teams/langfuse") == ("all", "2")
    assert found.of("evil-r.example.com/langfuse") is None
    assert "3:4" not in repr(found)


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"r": {"auth": "%%"}}}', '{"auths": {"r": {"username": "x"}}}'])
def test_credentials_in_another_format_are_refused(text: str) -> None:
    with pytest.raises(OperationError, match=r"^Secret x is not in the format of Docker's config.json"):
        Credentials.of_docker(text, "Secret x")
