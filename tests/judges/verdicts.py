"""Reads the output of each judge into verdicts of one form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

KUBE_SCORE_PASSES: Final = 5
"""Grades are 10 (fine), 5 (warning) and 1 (critical). A warning fails too, so that it is waived or fixed."""


class Judge(Enum):
    """The judges."""

    ADMISSION = "admission"
    CHECKOV = "checkov"
    KUBE_SCORE = "kube-score"
    SCHEMAS = "kubernetes-validate"


@dataclass(frozen=True)
class Verdict:
    """The result of one check of a judge on one object."""

    judge: Judge
    check: str
    #: Kind and name, for example `Deployment/langfuse-web`.
    subject: str
    passed: bool
    reason: str = ""


def of_checkov(output: str) -> Iterator[Verdict]:
    """The verdicts of `checkov -o json`."""
    results = json.loads(output)["results"]
    if results["parsing_errors"]:
        raise ValueError(f"checkov could not read {results['parsing_errors']}")
    for outcome in ("passed_checks", "failed_checks"):
        for one in results[outcome]:
            kind, _, rest = one["resource"].partition(".")
            subject = f"{kind}/{rest.rpartition('.')[2]}"
            yield Verdict(Judge.CHECKOV, one["check_id"], subject, outcome == "passed_checks", one["check_name"])


def of_kube_score(output: str) -> Iterator[Verdict]:
    """The verdicts of `kube-score score -o json`."""
    for thing in json.loads(output):
        subject = f"{thing['type_meta']['kind']}/{thing['object_meta']['name']}"
        for one in thing["checks"]:
            if not one["skipped"]:
                reasons = {comment["summary"] for comment in one["comments"] or ()}
                passed = one["grade"] > KUBE_SCORE_PASSES
                yield Verdict(Judge.KUBE_SCORE, one["check"]["id"], subject, passed, "; ".join(sorted(reasons)))


_RESOURCE = re.compile(r"(INFO|ERROR) \S+ (?:passed|did not validate) for resource (\w+)/(\S+) against .*?(?:: (.*))?$")


def of_schemas(output: str) -> Iterator[Verdict]:
    """The verdicts of `kubernetes-validate --strict`, which does not know custom resources."""
    for line in output.splitlines():
        if (match := _RESOURCE.match(line)) is not None:
            level, kind, name, reason = match.groups()
            yield Verdict(Judge.SCHEMAS, "schema", f"{kind}/{name}", level == "INFO", reason or "")


#: PodSecurity's message for each violated control, and the control (k8s.io/pod-security-admission/policy).
CONTROLS: Final = {
    "host namespaces": "hostNamespaces",
    "privileged": "privileged",
    "unrestricted capabilities": "capabilities_restricted",
    "hostPath volumes": "hostPathVolumes",
    "hostPort": "hostPorts",
    "probe or lifecycle host": "hostProbesAndHostLifecycle",
    "forbidden AppArmor profile": "appArmorProfile",
    "seLinuxOptions": "seLinuxOptions",
    "procMount": "procMount_restricted",
    "seccompProfile": "seccompProfile_restricted",
    "forbidden sysctls": "sysctls",
    "hostProcess": "windowsHostProcess",
    "restricted volume types": "restrictedVolumes",
    "allowPrivilegeEscalation != false": "allowPrivilegeEscalation",
    "runAsNonRoot != true": "runAsNonRoot",
    "runAsUser=0": "runAsUser",
}
ADMITTED: Final = "admitted"
"""The check that the API server admits the object."""


def of_admission(subject: str, refusal: str | None, *, is_pod: bool) -> Iterator[Verdict]:
    """The verdicts of one answer of the API server to a pod or another object."""
    broken: dict[str, str] = {}
    found = re.search(r'violates PodSecurity "[^"]*": (.*)', refusal or "")
    if found:
        for phrase, control in CONTROLS.items():
            if part := re.search(rf"(?:^|, )({re.escape(phrase)}s?(?: \([^()]*\))?)", found[1]):
                broken[control] = part[1]
    if '"hostPath"' in (reason := broken.get("restrictedVolumes", "")):
        broken["hostPathVolumes"] = reason  # at the level `restricted` one control covers both
    admitted = refusal is None or bool(broken)
    yield Verdict(Judge.ADMISSION, ADMITTED, subject, admitted, "" if admitted else str(refusal))
    if is_pod and admitted:
        for control in CONTROLS.values():
            yield Verdict(Judge.ADMISSION, control, subject, control not in broken, broken.get(control, ""))


def pod_of_workload(manifest: dict[str, Any]) -> dict[str, Any] | None:
    """The pod that a workload starts, as an object; None for objects that start no pod."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    if "template" not in spec or manifest["kind"] not in {"CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"}:
        return None
    claims = [
        {"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}
        for claim in spec.get("volumeClaimTemplates", ())
    ]
    template = spec["template"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": manifest["metadata"]["name"]},
        "spec": {**template["spec"], "volumes": [*template["spec"].get("volumes", ()), *claims]},
    }
