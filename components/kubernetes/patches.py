"""`patches`: changes to individual objects, which are merged before policies check them."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import pulumi
from pydantic import JsonValue

from components.kubernetes.names import base_name, content_name
from components.schema.extensions import Patch
from components.schema.policy_library import parse_quantity
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
"""The keys that identify elements of a list (patchMergeKey in k8s.io/api). Other lists are replaced."""

DELETE = "$patch"
"""`$patch: delete` in an element of such a list deletes the element."""


class Patches:
    """The patches of a stack, and the objects that they were applied to.

    A transform of the engine merges them, because it sees objects in the form that Kubernetes receives. Whether an
    object exists is known only after all of them have been constructed. Errors end the preview, before any change.
    """

    def __init__(self, patches: Sequence[Patch]) -> None:
        self._patches = patches
        self._patched: dict[int, pulumi.Resource] = {}
        self._errors: list[str] = []

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
        """The options of the component whose children are patched."""
        if not self._patches:
            return opts
        own = pulumi.ResourceOptions(transforms=[self.transform], transformations=[self._record])
        return pulumi.ResourceOptions.merge(opts, own)

    def check(self) -> dict[str, object]:
        """Check that every patch had an object. Call this after all objects have been constructed.

        Returns:
            Outputs for the component. They fail if a patch could not be merged.

        Raises:
            pulumi.RunError: With the patches whose object does not exist.
        """
        missing = [
            f"langfuse:patches.{number}: the stack has no {patch.kind} {patch.name}; `pulumi stack` lists its objects"
            for number, patch in enumerate(self._patches)
            if number not in self._patched
        ]
        if missing:
            raise pulumi.RunError(Redaction()("\n  ".join(["patches without an object:", *missing])))
        if not self._patches:
            return {}
        return {
            "patched": pulumi.Output.all(*(resource.urn for resource in self._patched.values())).apply(
                self._raise_errors
            )
        }

    def transform(self, args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult | None:
        """The transform that the engine calls before it registers a resource. A result replaces its properties."""
        props: Mapping[str, object] = args.props
        matching = self._for(args.type_, args.name, props)
        for number, patch in matching:
            try:
                patched = merged(props, patch.patch)
                refuse_lower_limits(props, patched)
                props = patched
            except ValueError as error:
                # An exception here would be shown as a traceback of two processes. `_raise_errors` reports it instead.
                self._errors.append(f"langfuse:patches.{number}: {patch.kind} {patch.name}: {error}")
        if not matching:
            return None
        return pulumi.ResourceTransformResult(props=renamed(args.props, props), opts=args.opts)

    def _raise_errors(self, _: Sequence[str]) -> int:
        if self._errors:
            raise pulumi.RunError(Redaction()("\n  ".join(["patches that cannot be merged:", *self._errors])))
        return len(self._patches)

    def _record(self, args: pulumi.ResourceTransformationArgs) -> None:
        self._patched |= {number: args.resource for number, _ in self._for(args.type_, args.name, args.props)}

    def _for(self, type_: str, name: str, props: Mapping[str, object]) -> list[tuple[int, Patch]]:
        if not type_.startswith("kubernetes:"):
            return []
        kind = type_.rsplit(":", maxsplit=1)[-1]
        object_name = _name(props)
        return [
            (number, patch)
            for number, patch in enumerate(self._patches)
            if patch.kind == kind and patch.name in {object_name, name, content_base(props)}
        ]


def content_base(props: Mapping[str, object]) -> str | None:
    """The name without the hash, for an object whose name ends with a hash of its content; None for others."""
    name, data = _name(props), props.get("data")
    if not isinstance(name, str) or not isinstance(data, Mapping):
        return None
    base = base_name(name)
    return base if name == content_name(base, data) else None


def renamed(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, object]:
    """The patched object. If its name ends with a hash of its content, the hash is updated."""
    result, base = dict(after), content_base(before)
    metadata, data = after.get("metadata"), after.get("data")
    if base and isinstance(metadata, Mapping) and isinstance(data, Mapping) and metadata.get("name") == _name(before):
        result["metadata"] = {**metadata, "name": content_name(base, data)}
    return result


def refuse_lower_limits(before: Mapping[str, object], after: Mapping[str, object]) -> None:
    """Refuses a patch that takes memory, CPU or scratch space from a container.

    Its program is configured for what the stack gives it: Node's heap, Postgres' buffers and the memory of ClickHouse
    follow from the memory, and waits and probes from the CPU. A container that has a key can get less by its key, which
    has a minimum.

    Raises:
        ValueError: With the container and both limits.
    """
    limits = _limits(before)
    for place, (limit, value) in _limits(after).items():
        former = limits.get(place, (limit, value))[1]
        if value < former:
            raise ValueError(
                f"{place} is lowered to {limit}, and its program is configured for {limits[place][0]}; remove it, and "
                "set the resources of the section, such as web.resources, where there is one"
            )


def _limits(props: Mapping[str, object]) -> dict[str, tuple[str, Decimal]]:
    """The limits of every container of an object, with their values, by the path for messages."""
    found: dict[str, tuple[str, Decimal]] = {}
    for place, holder in _with_resources(props):
        limits = _at(holder, "resources", "limits")
        for resource, limit in limits.items() if isinstance(limits, Mapping) else ():
            if (value := parse_quantity(str(limit))) is not None:
                found[f"{place}resources.limits.{resource}"] = str(limit), value
    return found


def _with_resources(props: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The containers of a pod template, and a database that an operator runs, each with its path."""
    yield "spec.", props.get("spec")
    for template in (("spec", "template"), ("spec", "jobTemplate", "spec", "template")):
        for field in ("containers", "initContainers"):
            containers = _at(props, *template, "spec", field)
            for one in containers if isinstance(containers, Sequence) else ():
                yield f"{field}[{_at(one, 'name')}].", one


def _at(value: object, *path: str) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _name(props: Mapping[str, object]) -> object:
    metadata = props.get("metadata")
    return metadata.get("name") if isinstance(metadata, Mapping) else None


def merged(base: Mapping[str, object], patch: Mapping[str, JsonValue], path: str = "") -> dict[str, object]:
    """A map with a patch merged into it. A null in the patch removes the key.

    Raises:
        ValueError: With the path at which the patch and the object have different types.
    """
    result = dict(base)
    for key, value in patch.items():
        here = f"{path}.{key}" if path else key
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            if old is not None and not isinstance(old, Mapping):
                raise ValueError(f"{here} is not a map in the object; use a value of the same type")
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
            raise ValueError(
                f"{path}: an element has no {' or '.join(keys)}, which identifies it for the merge; add it"
            )
        place = next(
            (i for i, old in enumerate(result) if isinstance(old, Mapping) and old.get(key) == element[key]), None
        )
        if element.get(DELETE) == "delete":
            if place is None:
                raise ValueError(
                    f"{path}: there is no element with {key} {element[key]} to delete; remove this element"
                )
            del result[place]
            continue
        if DELETE in element:
            raise ValueError(f"{path}: {DELETE}: {element[DELETE]} is not supported; use delete")
        old = result[place] if place is not None else {}
        new = merged(old if isinstance(old, Mapping) else {}, element, f"{path}[{element[key]}]")
        if place is None:
            result.append(new)
        else:
            result[place] = new
    return result
