import json
import subprocess
from pathlib import Path

import pytest

from tools.langfuse_env import CheckoutError, write

FILES = {
    "packages/shared/src/env.ts": "const EnvSchema = z.object({\n  SHARED_KEY: z.string(),\n  // OLD: z.any(),\n});\n",
    "packages/shared/src/server/cache.ts": "const size = process.env.SHARED_READ;\n",
    "packages/shared/src/server/cache.test.ts": "const size = process.env.SHARED_TEST;\n",
    "packages/shared/clickhouse/scripts/up.sh": 'migrate "${CLICKHOUSE_MIGRATION_URL}"\n',
    "web/src/env.mjs": "export const env = createEnv({\n  server: {\n    WEB_KEY: z.string(),\n  },\n});\n",
    "web/src/pages/index.tsx": 'const host = process.env["WEB_READ"] ?? process.env.WEB_READ_TOO;\n',
    "web/src/__tests__/index.ts": "const host = process.env.WEB_TEST;\n",
    "web/src/index.clienttest.tsx": "const host = process.env.WEB_CLIENT_TEST;\n",
    "web/next.config.mjs": "export default { silent: !process.env.WEB_CONFIG };\n",
    "web/entrypoint.sh": 'if [ -z "$DIRECT_URL" ]; then exit 1; fi\n',
    "worker/src/env.ts": "const EnvSchema = z.object({\n  WORKER_KEY: z.string(),\n});\n",
    "worker/entrypoint.sh": "echo ${DATABASE_ARGS:-}\n",
}
SHARED = ["SHARED_KEY", "SHARED_READ"]


@pytest.fixture(name="checkout")
def fixture_checkout(tmp_path: Path) -> Path:
    """A clone of Langfuse with the few files that the command reads, at the tag v4.20.0."""
    checkout = tmp_path / "langfuse"
    for name, text in FILES.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text)
    git = ("git", "-C", str(checkout), "-c", "user.name=Test", "-c", "user.email=test@example.com")
    for arguments in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "Release"), ("tag", "v4.20.0")):
        subprocess.run([*git, *arguments], check=True)
    return checkout


@pytest.fixture(name="data")
def fixture_data(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    data.mkdir()
    return data


def test_each_program_reads_its_own_names_and_the_shared_ones(checkout: Path, data: Path) -> None:
    file, _ = write(checkout, "v4.20.0", data)
    assert file == data / "langfuse-env-4.json"
    web = ["CLICKHOUSE_MIGRATION_URL", "DIRECT_URL", "WEB_CONFIG", "WEB_KEY", "WEB_READ", "WEB_READ_TOO"]
    assert json.loads(file.read_text()) == {
        "version": "4.20.0",
        "web": sorted([*SHARED, *web]),
        "worker": sorted([*SHARED, "DATABASE_ARGS", "WORKER_KEY"]),
    }


def test_what_changed_is_listed_and_names_of_later_releases_are_kept_until_they_are_read(
    checkout: Path, data: Path
) -> None:
    newer = {"web": ["WEB_KEY", "WEB_LATER"], "worker": []}
    listed = {"version": "4.16.0", "web": ["WEB_GONE", "WEB_READ"], "worker": [], "newer": newer}
    (data / "langfuse-env-4.json").write_text(json.dumps(listed))
    file, changes = write(checkout, "v4.20.0", data)
    assert json.loads(file.read_text())["newer"] == {"web": ["WEB_LATER"], "worker": []}
    assert {"web: - WEB_GONE", "web: + WEB_KEY", "worker: + WORKER_KEY"} <= set(changes)
    assert "web: + WEB_READ" not in changes


@pytest.mark.parametrize(
    ("tag", "message"), [("v4.21.0", "use a clone of Langfuse that has the tag v4.21.0"), ("main", "use one such as")]
)
def test_a_tag_that_is_no_release_of_the_clone_is_refused(checkout: Path, data: Path, tag: str, message: str) -> None:
    with pytest.raises(CheckoutError, match=message):
        write(checkout, tag, data)
    assert not list(data.iterdir())
