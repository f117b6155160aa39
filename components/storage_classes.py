"""Checks that a new volume can come into being: that its StorageClass exists, or that the cluster has a default one.

The API server accepts a claim whose class does not exist. The claim then waits for a volume, and its pod for the claim,
until the update times out. New clusters of EKS have a class and no default.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import pulumi

from components.admission import OPERATED
from components.schema.cluster import Cluster

CLAIM: Final = "PersistentVolumeClaim"
KINDS: Final = (CLAIM, "StatefulSet", OPERATED)
"""The kinds that make claims."""

DEFAULT: Final = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
"""The annotations that make a class the default (pkg/volume/util/storageclass.go of Kubernetes)."""

CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
VOLUMES: Final = "/api/v1/persistentvolumes"
OK: Final = 200

Json = Mapping[str, Any]
Items = Callable[[str], Sequence[Json] | None]
"""Lists the objects at a path of the API server; None if they can't be read."""


class StorageClasses:
    """The check of the volumes of a stack. It runs when a volume is created; a preview needs no cluster."""

    def __init__(self, cluster: Cluster, items: Items | None = None) -> None:
        """Take the settings of `langfuse:cluster`, and in tests what lists objects."""
        self._cluster = cluster
        self._items = items or self._list

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
        """The options of the component whose volumes are checked."""
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[self._add_hook]))

    def _add_hook(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("kubernetes:") or args.type_.rpartition(":")[2] not in KINDS:
            return None
        own = pulumi.ResourceOptions(hooks=self._binding)
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, own))

    @cached_property
    def _binding(self) -> pulumi.ResourceHookBinding:
        hook = pulumi.ResourceHook("volumes-have-a-class", self.check)
        return pulumi.ResourceHookBinding(before_create=[hook])

    def check(self, args: pulumi.ResourceHookArgs) -> None:
        """Look up the classes of the volumes of an object.

        Classes that can't be read are left to the update itself, and volumes that an administrator has made by hand
        need none.

        Raises:
            pulumi.RunError: With the object, the missing class, and the classes of the cluster.
        """
        kind, inputs = args.type.rpartition(":")[2], args.new_inputs or {}
        for wanted in dict.fromkeys(classes_of(kind, inputs)):
            classes = self._classes
            if classes is None or wanted in classes or (wanted is None and any(classes.values())):
                continue
            volumes = self._items(VOLUMES)
            if volumes is None or any((one["spec"].get("storageClassName") or None) == wanted for one in volumes):
                continue
            missing = f"has no StorageClass {wanted}" if wanted else "has no default StorageClass"
            known = ", ".join(sorted(classes)) or "none"
            name = f"{inputs['metadata']['namespace']}/{inputs['metadata']['name']}"
            raise pulumi.RunError(
                f"{kind} {name}: the cluster {missing}, so its volume would never be created; set "
                f"langfuse:cluster.storageClass to a class of the cluster ({known})"
            )

    @cached_property
    def _classes(self) -> Mapping[str, bool] | None:
        """The classes of the cluster, and whether each is the default; None if they can't be read."""
        found = self._items(CLASSES)
        if found is None:
            return None
        annotations = {one["metadata"]["name"]: one["metadata"].get("annotations") or {} for one in found}
        return {name: any(own.get(key) == "true" for key in DEFAULT) for name, own in annotations.items()}

    def _list(self, path: str) -> Sequence[Json] | None:
        client = self._client
        if client is None:
            return None
        from components.cluster_client import get  # noqa: PLC0415  # ditto

        answer = get(client, path)
        found: Sequence[Json] | None = json.loads(answer[1])["items"] if answer and answer[0] == OK else None
        return found

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # kubernetes has no types
        from components.cluster_client import try_connect  # noqa: PLC0415  # takes a second, which previews do not need

        return try_connect(self._cluster)


def classes_of(kind: str, inputs: Json) -> Iterator[str | None]:
    """The class of each volume that an object makes; None for the default. An empty name means that it has none."""
    spec = inputs["spec"]
    if kind == OPERATED:
        yield spec.get("storage", {}).get("storageClass")
        return
    specs = [spec] if kind == CLAIM else [one["spec"] for one in spec.get("volumeClaimTemplates", ())]
    for one in specs:
        name = one.get("storageClassName")
        if name != "" and not one.get("volumeName"):
            yield name
