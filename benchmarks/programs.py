"""The programs that are compared. Each writes the CPU time of its process to a file."""

from __future__ import annotations

import atexit
import json
import os
import re
import resource
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pulumi

    from components.schema.environment import Settings

USAGE_VARIABLE = "BENCHMARK_USAGE"
PLAN_FILE = "plan.json"
CHECKOUT = Path(__file__).parent.parent


def run(name: str) -> None:
    """Run a program and write the CPU seconds of its process to the file that BENCHMARK_USAGE names.

    The phases are: `started`, the interpreter and Pulumi's SDK are loaded; `imported`, the program is imported and
    reads its configuration next (only for the program of this checkout); `declared`, all resources are declared;
    `ended`, the engine has responded for all resources.
    """
    file = Path(os.environ[USAGE_VARIABLE])
    atexit.register(lambda: file.write_text(json.dumps({**_usage, "ended": _cpu()})))
    _usage["started"] = _cpu()
    PROGRAMS[name]()
    _usage["declared"] = _cpu()


_usage: dict[str, float] = {}


def dev() -> None:
    """The program of this checkout."""
    from components.settings import load as settings  # noqa: PLC0415

    load = settings.load

    def load_and_record() -> Settings:
        _usage["imported"] = _cpu()
        return load()

    settings.load = load_and_record
    runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")


def empty() -> None:
    """No resource but the stack."""


def least() -> None:
    """As many resources as the dev stack, of minimal size: small ConfigMaps and the same random values."""
    import pulumi_kubernetes as k8s  # noqa: PLC0415

    plan, version, namespace, inside = _plain_start()
    for number, item in enumerate(plan["objects"]):
        data = {"version": version if item["before"] != item["after"] else "any"}
        k8s.core.v1.ConfigMap(f"object-{number}", metadata={"namespace": namespace}, data=data, opts=inside)


def bare() -> None:
    """The objects of the dev stack as plain resources: no components, dependencies, waits or typed arguments."""
    import pulumi  # noqa: PLC0415

    plan, version, _, inside = _plain_start()
    which = "before" if version == plan["version"] else "after"
    for number, item in enumerate(plan["objects"]):
        is_secret = item[which]["kind"] == "Secret"
        values = {
            key: pulumi.Output.secret(value) if is_secret and key in {"data", "stringData"} else value
            for key, value in item[which].items()
        }
        pulumi.CustomResource(item["type"], f"object-{number}", values, inside)


def many() -> None:
    """Copies of the dev stack's objects, as many as configured, without references between them."""
    import pulumi  # noqa: PLC0415
    import pulumi_kubernetes as k8s  # noqa: PLC0415

    objects = json.loads(Path(PLAN_FILE).read_text())["objects"]
    cluster = k8s.Provider("cluster", cluster_identifier="plain", enable_server_side_apply=True)
    for number in range(pulumi.Config().require_int("count")):
        item = objects[number % len(objects)]
        values = {**item["before"], "metadata": {**item["before"]["metadata"], "name": f"object-{number}"}}
        pulumi.CustomResource(item["type"], f"object-{number}", values, pulumi.ResourceOptions(provider=cluster))


def _plain_start() -> tuple[dict[str, Any], str, str, pulumi.ResourceOptions]:
    """Create what `least` and `bare` share. Returns the plan, the version, the namespace and resource options."""
    import pulumi  # noqa: PLC0415
    import pulumi_kubernetes as k8s  # noqa: PLC0415
    import pulumi_random  # noqa: PLC0415

    plan: dict[str, Any] = json.loads(Path(PLAN_FILE).read_text())
    config = pulumi.Config()
    name, version = config.require("namespace"), config.require("version")
    cluster = k8s.Provider(
        "cluster",
        cluster_identifier="plain",
        enable_config_map_mutable=True,
        enable_secret_mutable=True,
        enable_server_side_apply=True,
    )
    namespace = k8s.core.v1.Namespace(name, metadata={"name": name}, opts=pulumi.ResourceOptions(provider=cluster))
    for number, (kind, inputs) in enumerate(plan["random"]):
        getattr(pulumi_random, kind)(f"value-{number}", **{_snake(key): value for key, value in inputs.items()})
    return plan, version, name, pulumi.ResourceOptions(provider=cluster, depends_on=[namespace])


PROGRAMS: dict[str, Callable[[], None]] = {
    "dev": dev,
    "bare": bare,
    "least": least,
    "empty": empty,
    "many": many,
}


def _cpu() -> float:
    """User and system CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
