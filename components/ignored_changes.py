"""`cluster.ignoreChanges`: fields that the cluster itself sets, which are neither reported as drift nor set back."""

from collections.abc import Mapping, Sequence

import pulumi


class IgnoreChanges:
    """Adds Pulumi's option `ignoreChanges` to the objects of a stack.

    The state keeps it, and a refresh, which finds drift, leaves these fields out (RefreshStep in
    pkg/resource/deploy/step.go of Pulumi).
    """

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields
        self._used: set[str] = set()

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions | None:
        """The options of the component whose children have such fields."""
        if not self._fields:
            return opts
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[self._add]))

    def check(self) -> None:
        """Check that every entry had an object. Call this after all objects have been constructed.

        Raises:
            pulumi.RunError: With the entries whose object does not exist.
        """
        missing = [
            f"langfuse:cluster.ignoreChanges.{key}: the stack has no such object; `pulumi stack` lists its objects"
            for key in self._fields
            if key not in self._used
        ]
        if missing:
            raise pulumi.RunError("\n  ".join(["fields of objects that do not exist:", *missing]))

    def _add(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        if not args.type_.startswith("kubernetes:"):
            return None
        kind = args.type_.rpartition(":")[2]
        found = [key for key in (kind, f"{kind}/{args.name}") if key in self._fields]
        if not found:
            return None
        self._used.update(found)
        own = pulumi.ResourceOptions(ignore_changes=[field for key in found for field in self._fields[key]])
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, own))
