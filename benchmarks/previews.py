"""What pull requests wait for: previews of every environment at once, and what the policy packs add to one."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from benchmarks.figures import Figures
from benchmarks.project import RUNTIME, Project
from benchmarks.state import Plan
from benchmarks.temporary_sandbox import TemporarySandbox
from components.schema.images import DEFAULT_VERSION
from components.settings.profiles import PROFILES
from operations.changes.preview import policy_flags
from sandbox.progress import Progress

SIZES = (100, 300, 1000)
"""Numbers of resources for which the packs' share is shown."""

EMPTY_PACK = textwrap.dedent("""
    from pulumi_policy import PolicyPack, ResourceValidationPolicy

    PolicyPack({name!r}, [ResourceValidationPolicy("nothing", "Reports nothing.", lambda _args, _report: None)])
""")
"""What any policy pack in Python costs: the engine asks it of each resource, and it has nothing to say."""

Result = TypeVar("Result")


@dataclass
class Previews:
    """Measures previews, `count` times. Where nothing is deployed, no cluster is asked either."""

    sandbox: TemporarySandbox
    count: int
    figures: Figures
    plan: Plan
    """The objects that the programs of many resources are made of."""

    def run(self) -> None:
        """Measure everything; the samples go to the figures."""
        progress = Progress(3)
        with progress.step("previews of all environments, one after another and at once"):
            self._environments()
        with progress.step("previews of prod with and without the policy packs"):
            self._prod()
        with progress.step(f"previews of {', '.join(map(str, SIZES))} resources with and without the policy packs"):
            for size in SIZES:
                self._many(size)

    def _environments(self) -> None:
        projects = [self._project(f"environment-{profile}", "dev", stack=profile) for profile in PROFILES]
        for _ in range(self.count):
            self._sample("environments in turn", lambda: [project.preview() for project in projects])
            with ThreadPoolExecutor(len(projects)) as threads:
                self._sample("environments at once", lambda: list(threads.map(Project.preview, projects)))

    def _prod(self) -> None:
        project = self._project("prod", "dev", stack="prod", has_cluster=True)
        project.up()
        empty_packs = [self._empty_pack(f"empty-{number}") for number in (1, 2)]
        for _ in range(self.count):
            plain = self._sample("prod", project.preview).unchanged("the preview of prod")
            evaluation = plain.program["ended"] - plain.program["imported"]
            self.figures.program.setdefault(("prod", "evaluation"), []).append(evaluation)
            self._sample("prod with empty packs", lambda: project.preview(*empty_packs))
            self._sample("prod with packs", lambda: project.preview(*policy_flags("prod")))

    def _many(self, size: int) -> None:
        project = self._project(f"many-{size}", "many", count=size)
        for _ in range(self.count):
            self._sample(f"{size} resources", project.preview)
            self._sample(f"{size} resources with packs", lambda: project.preview(*policy_flags("dev")))

    def _sample(self, name: str, measured: Callable[[], Result]) -> Result:
        before = time.perf_counter()
        result = measured()
        self.figures.previews.setdefault(name, []).append(time.perf_counter() - before)
        return result

    def _empty_pack(self, name: str) -> str:
        """Write a pack with one policy that does nothing; returns the flag for it."""
        folder = self._folder(name)
        folder.mkdir(parents=True)
        (folder / "PulumiPolicy.yaml").write_text(yaml.safe_dump({"version": "0.1.0", "runtime": RUNTIME}))
        (folder / "__main__.py").write_text(EMPTY_PACK.format(name=name))
        return f"--policy-pack={folder}"

    def _project(
        self, name: str, program: str, *, stack: str = "dev", has_cluster: bool = False, count: int | None = None
    ) -> Project:
        environment = self.sandbox.environment()
        if not has_cluster:
            del environment["KUBECONFIG"]
            environment["HOME"] = str(self.sandbox.folder)  # has no kubeconfig
        return Project(
            self._folder(name),
            program,
            stack=stack,
            namespace=f"preview-{name}",
            version=DEFAULT_VERSION,
            environment=environment,
            plan=self.plan if count else None,
            config={"count": count} if count else {},
        )

    def _folder(self, name: str) -> Path:
        """Apart from those of the rounds, which have names of the same kind."""
        return self.sandbox.folder / "previews" / name
