"""Names and labels: pure functions of the installation's name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

HASH_DIGITS = 8
"""Of a content's hash, in a name: enough to tell the few contents apart that one object ever has."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One workload of an installation, and the labels that find its pods.

    Labels are the recommended set of kubernetes.io/docs/concepts/overview/working-with-objects/common-labels.
    """

    instance: str
    """The installation, for example `langfuse-dev`."""
    name: str
    """The program, for example `postgres`: also the Kubernetes name, since a namespace holds one installation."""
    component: str
    """Its part in the architecture, for example `database`."""
    version: str
    common: Mapping[str, str] = field(default_factory=dict)
    """Labels of everything in the installation."""

    @property
    def resource_name(self) -> str:
        """The Kubernetes name of the workload and its Service."""
        return f"langfuse-{self.name}"

    @property
    def selector(self) -> dict[str, str]:
        """The labels that never change: a Deployment's or StatefulSet's selector is immutable."""
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.instance}

    @property
    def labels(self) -> dict[str, str]:
        """The recommended labels of everything that belongs to the workload."""
        return {
            **self.common,
            **self.selector,
            "app.kubernetes.io/component": self.component,
            "app.kubernetes.io/part-of": "langfuse",
            "app.kubernetes.io/managed-by": "pulumi",
        }

    @property
    def pod_labels(self) -> dict[str, str]:
        """Those of its pods, which alone are of a version: a new one leaves all else as it is."""
        return {**self.labels, "app.kubernetes.io/version": self.version}


def content_name(base: str, content: Mapping[str, object]) -> str:
    """A name that follows from the content: the same content always has the same name."""
    text = json.dumps(content, sort_keys=True)
    return f"{base}-{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"


def base_name(name: str) -> str:
    """The part of a content's name that stays when the content changes."""
    return name.rpartition("-")[0]
