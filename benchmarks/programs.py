"""The programs that are compared. Each tells how much CPU time its process has used, so that they can be compared."""

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
    """Run a program, and write its process's CPU seconds to the file that BENCHMARK_USAGE names.

    `started`: the interpreter and Pulumi's SDK are loaded. `imported`: so is the program, and the configuration is
    read next (noted of the program of this checkout alone). `declared`: every resource has been asked for. `ended`:
    the engine has answered for all of them.
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

    def noted() -> Settings:
        _usage["imported"] = _cpu()
        return load()

    settings.load = noted
    runpy.run_path(str(CHECKOUT / "__main__.py"), run_name="__main__")


def empty() -> None:
    """No resource but the stack."""


def least() -> None:
    """As many resources as the stack has, of the least size: ConfigMaps of a line, and the same random values."""
    import pulumi_kubernetes as k8s  # noqa: PLC0415

    plan, version, namespace, inside = _plain_start()
    for number, item in enumerate(plan["objects"]):
        data = {"version": version if item["before"] != item["after"] else "any"}
        k8s.core.v1.ConfigMap(f"object-{number}", metadata={"namespace": namespace}, data=data, opts=inside)


def bare() -> None:
    """The stack's own objects as plain resources: no components, no order, no waits, no typed arguments."""
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
    """The objects of the stack again and again, as many as the configuration says, none of them named by another."""
    import pulumi  # noqa: PLC0415
    import pulumi_kubernetes as k8s  # noqa: PLC0415

    objects = json.loads(Path(PLAN_FILE).read_text())["objects"]
    cluster = k8s.Provider("cluster", cluster_identifier="plain", enable_server_side_apply=True)
    for number in range(pulumi.Config().require_int("count")):
        item = objects[number % len(objects)]
        values = {**item["before"], "metadata": {**item["before"]["metadata"], "name": f"object-{number}"}}
        pulumi.CustomResource(item["type"], f"object-{number}", values, pulumi.ResourceOptions(provider=cluster))


def _plain_start() -> tuple[dict[str, Any], str, str, pulumi.ResourceOptions]:
    """What both plain programs begin with. Returns the plan, the version, the namespace, and options for the rest."""
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
    """CPU seconds, user and system, of this process with all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)
