"""`python -m tests.judges`: compares independent judges of the manifests of every environment with our policies."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

CHECKOUT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(CHECKOUT / "policies"))

from langfuse_policies.catalogue import POLICIES
from langfuse_policies.facts.resources import Resource
from langfuse_policies.testing import judged_all, resource

from sandbox.controlplane import Sandbox
from sandbox.errors import SandboxError
from tests.judges import report, tools
from tests.judges.admission import admission
from tests.judges.manifests import as_yaml, manifests
from tests.judges.verdicts import of_checkov, of_kube_score, of_schemas
from tests.unit.program import recorded

STACKS = ("dev", "staging", "prod")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def judges(stacks: Annotated[list[str] | None, typer.Argument(help="dev, staging, prod unless given.")] = None) -> None:
    """Run the API server, checkov, kube-score and kubernetes-validate; fail on objections without a waiver."""
    if stacks and (unknown := set(stacks) - set(STACKS)):
        raise typer.BadParameter(f"there is no stack {', '.join(sorted(unknown))}: {', '.join(STACKS)} are judged")
    try:
        judgements = _judge(stacks or list(STACKS))
    except SandboxError as error:
        sys.exit(f"error: {error}")
    console = Console(width=120, highlight=False)
    for judgement in judgements:
        report.show(console, judgement, [*POLICIES.values()])
    given = report.waivers()
    for waiver in given:
        console.print(f"waived: {waiver}", markup=False)
    unused = report.unused(judgements, given) if not stacks else []
    for waiver in unused:
        console.print(f"tests/judges/waivers.yaml: nothing needs this any more, remove it: {waiver}", markup=False)
    failures = sum(len(judgement.failures) for judgement in judgements)
    console.print(f"{failures} failed, {len(given)} waivers, {len(unused)} of them unused")
    if failures or unused:
        sys.exit(1)


def _judge(stacks: list[str]) -> list[report.Judgement]:
    waivers = tuple(report.waivers())
    with tempfile.TemporaryDirectory(prefix="judges-") as folder:
        sandbox = Sandbox(Path(folder) / "sandbox")
        try:
            sandbox.up()
            kubeconfig = Path(sandbox.environment()["KUBECONFIG"])
            found = []
            for stack in stacks:
                objects = manifests(stack)
                file = Path(folder) / f"{stack}.yaml"
                file.write_text(as_yaml(objects))
                verdicts = (
                    *admission(objects, kubeconfig),
                    *of_checkov(tools.checkov(file)),
                    *of_kube_score(tools.kube_score(file)),
                    *of_schemas(tools.kubernetes_validate(file)),
                )
                findings = {policy: len(faults) for policy, faults in judged_all(_resources(stack)).items()}
                found.append(report.Judgement(stack, verdicts, findings, waivers))
            return found
        finally:
            sandbox.reset()


def _resources(stack: str) -> list[Resource]:
    """The resources as our policies see them: with options, and including those that are not manifests."""
    return [
        resource(
            one.type, one.inputs, name=one.name, stack=stack, protect=one.protect, ignore_changes=[*one.ignore_changes]
        )
        for one in recorded(stack).resources
    ]


if __name__ == "__main__":
    app()
