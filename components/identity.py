"""Remembers the name of an installation, and refuses another one."""

from typing import Any

import pulumi

from components.schema.environment import PROJECT, Settings


def remembered_name(settings: Settings, parent: pulumi.Resource) -> pulumi.Resource:
    """A resource that keeps the name of the installation in the state.

    Everything else waits for it, so a refused name changes nothing. Its own name never changes, unlike that of the
    namespace, which follows from the name of the installation.
    """
    hook = pulumi.ResourceHook(
        "installation-keeps-its-name", refuse_another_name, pulumi.ResourceHookOptions(on_dry_run=True)
    )
    names = {"instance": settings.instance, "namespace": settings.namespace}
    binding = pulumi.ResourceHookBinding(before_update=[hook])
    return pulumi.Stash("installation", input=names, opts=pulumi.ResourceOptions(parent=parent, hooks=binding))


def refuse_another_name(args: pulumi.ResourceHookArgs) -> None:
    """Refuses another name for an installation that exists.

    Buckets, the prefix of keys in Redis, and the ids of the first organization and project follow from the name. With
    another one, Langfuse would start empty beside its data, and what the old name owns would be deleted.

    Raises:
        pulumi.RunError: With both names and what to do.
    """
    before, after = _names(args.old_inputs), _names(args.new_inputs)
    if not before or not after:
        return
    keys = [key for key in ("instance", "namespace") if before.get(key) != after.get(key)]
    if not keys:
        return
    changes = " and ".join(f'{PROJECT}:{key} from "{before[key]}" to "{after[key]}"' for key in keys)
    commands = " && ".join(f"pulumi config set {PROJECT}:{key} {before[key]}" for key in keys)
    raise pulumi.RunError(
        f"this would change {changes}, for example after `pulumi stack rename`, and leave all data under the old name; "
        f"keep the name: {commands}. To move the data, create a new stack and restore a backup "
        "(docs/runbooks/backups.md)"
    )


def _names(inputs: Any) -> dict[str, str]:  # noqa: ANN401  # of any shape
    found = (inputs or {}).get("input")
    return dict(found) if isinstance(found, dict) else {}
