"""A deployed stack: its objects, its addresses, and programs that run in its pods."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
import testinfra  # type: ignore[import-untyped]

from components.settings import kubeconfig
from operations.clients.stack import Clients
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]

SCRIPTS: Final = Path(__file__).parent / "scripts"
MODULES: Final = Path(__file__).parents[2] / "components/application/scripts"
NAME_LABEL: Final = "app.kubernetes.io/name"

BUNDLE: Final = """
const sources = %s;
const made = {};
const load = (name) => {
  const key = name.replace("./", "");
  if (!(key in sources)) return require(name);
  if (!(key in made)) {
    made[key] = { exports: {} };
    new Function("require", "module", "exports", sources[key])(load, made[key], made[key].exports);
  }
  return made[key].exports;
};
load("main");
"""
"""Runs a script with the modules that it requires, of which the image has none."""


class Live:
    """A deployed stack."""

    def __init__(self, stack: str, config_file: Path | None, url: str | None) -> None:
        """Take the names that `python -m operations smoke` got. `url` replaces the public address."""
        self.pulumi = Pulumi(stack, config_file)
        self.clients = Clients(self.pulumi, print)
        self.cluster, self.outputs = self.clients.cluster, self.clients.outputs
        self.namespace = self.clients.namespace
        self.public = not url
        self.url = url or str(self.outputs["url"])

    @property
    def phase(self) -> str:
        """The phase of ingestion."""
        return self.clients.phase

    @cached_property
    def declared(self) -> Sequence[Json]:
        """The objects of the namespace in Pulumi's state."""
        return [item for item in self.pulumi.objects() if item["metadata"].get("namespace") == self.namespace]

    def items(self, api_version: str, kind: str) -> list[Json]:
        """The objects of a kind in the namespace."""
        return self.cluster.items(api_version, kind, self.namespace)

    def get(self, api_version: str, kind: str, name: str) -> Json | None:
        """An object of the namespace; None if it does not exist."""
        return self.cluster.get(named_object(api_version, kind, name, self.namespace))

    def run(self, workload: str, script: str, **constants: object) -> Any:  # noqa: ANN401  # JSON
        """Run a script with Node in a ready pod of web or worker.

        Args:
            workload: `web` or `worker`.
            script: Name of the script.
            constants: Values of constants of the script.

        Returns:
            The last line that it printed, which is JSON.
        """
        sources = {path.name: path.read_text() for path in MODULES.glob("*.js") if path.name in (*_MODULES,)}
        values = "".join(f"const {name} = {json.dumps(value)};" for name, value in constants.items())
        sources["main"] = values + (SCRIPTS / script).read_text()
        done = self._host(workload).run("node --eval %s", BUNDLE % json.dumps(sources))
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            failed("pods", f"{script} did not run in a pod of {workload}: {done.stderr.strip()[-300:]}", EXEC_FIX)
        return json.loads(lines[-1])

    def used_percent(self, pod: str, container: str, path: str) -> int | None:
        """How full the volume at a path is; None if the image has no `df`."""
        done = self._exec(pod, container).run("df -P %s", path)
        found = re.search(r"(\d+)%", done.stdout)
        return int(found[1]) if done.rc == 0 and found else None

    def _host(self, workload: str) -> Any:  # noqa: ANN401  # testinfra has no types
        pods = [
            pod for pod in self.items("v1", "Pod") if (pod["metadata"].get("labels") or {}).get(NAME_LABEL) == workload
        ]
        ready = [pod["metadata"]["name"] for pod in pods if is_ready(pod)]
        if not ready:
            failed(
                "pods",
                f"no pod of {workload} is ready",
                f"kubectl -n {self.namespace} describe pods -l {NAME_LABEL}={workload}",
            )
        return self._exec(ready[0], workload)

    def _exec(self, pod: str, container: str) -> Any:  # noqa: ANN401  # ditto
        settings = self.cluster.settings
        where = {
            "kubeconfig": kubeconfig.location(settings) if settings.kubeconfig else None,
            "context": settings.context,
        }
        given = {key: value for key, value in where.items() if value}
        return testinfra.get_host(f"kubectl://{pod}?container={container}&namespace={self.namespace}", **given)


_MODULES: Final = ("store-results.js", "check-redis.js")
EXEC_FIX: Final = "install kubectl, and allow this user to create pods/exec in the namespace"


def is_ready(pod: Json) -> bool:
    """Whether a pod is ready and not about to end."""
    ready = [one for one in pod["status"].get("conditions") or () if one["type"] == "Ready"]
    return "deletionTimestamp" not in pod["metadata"] and any(one["status"] == "True" for one in ready)


def failed(hop: str, detail: str, fix: str) -> NoReturn:
    """Fail a test with the hop that failed, and what to do."""
    pytest.fail(f"{hop}: {' '.join(detail.split())}\n    to do: {fix}", pytrace=False)
