"""`patches`: changes of single objects that no configuration key makes, merged before policies judge them."""

from collections.abc import Mapping, Sequence

import pulumi
from pydantic import JsonValue

from components.kubernetes.names import base_name, content_name
from components.schema.extensions import Patch
from components.schema.redaction import Redaction

MERGE_KEYS: Mapping[str, Sequence[str]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
    "topologySpreadConstraints": ("topologyKey",),
    "imagePullSecrets": ("name",),
    "hostAliases": ("ip",),
}
"""By what elements of a list are told apart; lists that are not here are replaced (patchMergeKey in k8s.io/api)."""

DELETE = "$patch"
"""`$patch: delete` in an element of such a list removes it."""


class Patches:
    """The patches of a stack, and which of them met their object.

    The merge happens in the engine's transform, which sees objects as Kubernetes will. Which objects there are is known
    when all have been constructed. What is wrong ends the preview, before anything is changed.
    """

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = patches
        self._met: dict[int, pulumi.Resource] = {}
        self._faults: list[str] = []

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
        """Options of the component whose children are patched."""
        if not self._patches:
            return opts
        own = pulumi.ResourceOptions(transforms=[self.transform], transformations=[self._look])
        return pulumi.ResourceOptions.merge(opts, own)

    def check(self) -> dict[str, object]:
        """To be called when everything was constructed. An output of the component, which fails with a merge.

        Raises:
            pulumi.RunError: naming the patches that nothing met.
        """
        missed = [
            f"langfuse:patches.{number}: there is no {patch.kind} {patch.name} in the stack; its objects are listed by "
            "`pulumi stack`"
            for number, patch in enumerate(self._patches)
            if number not in self._met
        ]
        if missed:
            raise pulumi.RunError(Redaction()("\n  ".join(["patches without an object:", *missed])))
        if not self._patches:
            return {}
        return {"patched": pulumi.Output.all(*(resource.urn for resource in self._met.values())).apply(self._finish)}

    def transform(self, args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        """The engine's question before it registers a resource: an answer replaces its properties."""
        props: Mapping[str, object] = args.props
        chosen = self._for(args.type_, args.name, props)
        for number, patch in chosen:
            try:
                props = merged(props, patch.patch)
            except ValueError as error:
                # An exception would reach people as a traceback of two processes: `_finish` tells it instead.
                self._faults.append(f"langfuse:patches.{number}: {patch.kind} {patch.name}: {error}")
        if not chosen:
            return None
        return pulumi.ResourceTransformResult(props=named_anew(args.props, props), opts=args.opts)

    def _finish(self, _: Sequence[str]) -> int:
        if self._faults:
            raise pulumi.RunError(Redaction()("\n  ".join(["patches that can't be merged:", *self._faults])))
        return len(self._patches)

    def _look(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._met |= {number: args.resource for number, _ in self._for(args.type_, args.name, args.props)}

    def _for(self, type_: str, name: str, props: Mapping[str, object]) -> list[tuple[int, Patch]]:
        if not type_.startswith("kubernetes:"):
            return []
        kind = type_.rsplit(":", maxsplit=1)[-1]
        given = _name(props)
        return [
            (number, patch)
            for number, patch in enumerate(self._patches)
            if patch.kind == kind and patch.name in {given, name, content_base(props)}
        ]


def content_base(props: Mapping[str, object]) -> str | None:
    """The part before the hash, of an object that is named after its content (`installation.config_map`)."""
    name, data = _name(props), props.get("data")
    if not isinstance(name, str) or not isinstance(data, Mapping):
        return None
    base = base_name(name)
    return base if name == content_name(base, data) else None


def named_anew(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """The patched object; one that is named after its content gets the name of its new content."""
    result, base = dict(after), content_base(before)
    metadata, data = after.get("metadata"), after.get("data")
    if base and isinstance(metadata, Mapping) and isinstance(data, Mapping) and metadata.get("name") == _name(before):
        result["metadata"] = {**metadata, "name": content_name(base, data)}
    return result


def _name(props: Mapping[str, object]) -> object:
    metadata = props.get("metadata")
    return metadata.get("name") if isinstance(metadata, Mapping) else None


def merged(base: Mapping[str, object], patch: Mapping[str, JsonValue], path: str = "") -> dict[str, object]:
    """A map with a patch merged into it; null removes a key.

    Raises:
        ValueError: naming the place where the patch has another shape than the object.
    """
    result = dict(base)
    for key, value in patch.items():
        here = f"{path}.{key}" if path else key
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            if old is not None and not isinstance(old, Mapping):
                raise ValueError(f"{here} is no map in the object; give a value of its shape")
            result[key] = merged(old or {}, value, here)
        elif isinstance(value, list) and key in MERGE_KEYS and isinstance(old, list):
            result[key] = _merged_list(old, value, MERGE_KEYS[key], here)
        else:
            result[key] = value
    return result


def _merged_list(base: Sequence[object], patch: Sequence[JsonValue], keys: Sequence[str], path: str) -> list[object]:
    result = list(base)
    for element in patch:
        key = next((key for key in keys if isinstance(element, Mapping) and key in element), None)
        if key is None or not isinstance(element, Mapping):
            raise ValueError(f"{path}: an element has no {' or '.join(keys)}, by which it would be merged; add it")
        place = next(
            (i for i, old in enumerate(result) if isinstance(old, Mapping) and old.get(key) == element[key]), None
        )
        if element.get(DELETE) == "delete":
            if place is None:
                raise ValueError(f"{path}: there is no element with {key} {element[key]} to delete; remove it")
            del result[place]
            continue
        if DELETE in element:
            raise ValueError(f"{path}: {DELETE}: {element[DELETE]} is not supported; only delete is")
        old = result[place] if place is not None else {}
        new = merged(old if isinstance(old, Mapping) else {}, element, f"{path}[{element[key]}]")
        if place is None:
            result.append(new)
        else:
            result[place] = new
    return result
