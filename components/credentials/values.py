"""Values of credentials that the stack makes itself.

They are frozen: a later edit of a length or alphabet changes no running installation, since the stores and the data
keep using the first value. Only a new epoch makes another one, for those that can have one.
"""

import uuid
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_random as random

from components.credentials.registry import Credential
from components.kubernetes.installation import Installation

_SHAPE = (
    *("length", "lower", "minLower", "minNumeric", "minSpecial", "minUpper"),
    *("number", "numeric", "overrideSpecial", "special", "upper"),
)
"""Inputs of a RandomPassword that would make a new one."""

_LETTERS_AND_DIGITS: Mapping[str, bool | str] = {"special": False}
"""Upstream pastes passwords unencoded into connection URLs."""

_HEXADECIMAL: Mapping[str, bool | str] = {"lower": False, "upper": False, "override_special": "abcdef"}

_API_KEY_PREFIX = {"public_key": "pk-lf-", "secret_key": "sk-lf-"}


def random_value(
    credential: Credential, epoch: int, installation: Installation, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """A value that is made once per epoch."""
    # Nothing else that is random: a RandomBytes or RandomUuid has its value as its id, which state shows.
    value = random.RandomPassword(
        credential.resource_name,
        random.RandomPasswordArgs(
            length=credential.length,
            keepers={"epoch": str(epoch)} if epoch > 1 else None,
            **(_LETTERS_AND_DIGITS if credential.kind in {"password", "kms-key"} else _HEXADECIMAL),  # type: ignore[arg-type]  # bool and str by name
        ),
        opts=pulumi.ResourceOptions.merge(opts, _frozen(credential, epoch, installation)),
    ).result
    match credential.kind:
        case "api-key":
            return value.apply(lambda digits: f"{_API_KEY_PREFIX[credential.id]}{uuid.UUID(hex=digits, version=4)}")
        case "kms-key":
            # 43 letters and digits, padded, are 32 bytes in base64; two bits are left over, which Go drops.
            return value.apply(lambda characters: f"langfuse:{characters}=")
        case _:
            return value


def _frozen(credential: Credential, epoch: int, installation: Installation) -> pulumi.ResourceOptions:
    """Options of a value that no edit of its shape replaces.

    The engine replaces nothing that is protected, so that asking for another epoch gives protection up.
    """
    opts = pulumi.ResourceOptions(ignore_changes=list(_SHAPE))
    if epoch == 1:
        return installation.stateful(opts)
    opts.hooks = pulumi.ResourceHookBinding(before_create=[_announcement(credential, epoch)])
    return opts


def _announcement(credential: Credential, epoch: int) -> pulumi.ResourceHook:
    """Says what a new epoch takes, in the preview and the update that makes it and in no other."""

    def announce(_: pulumi.ResourceHookArgs) -> None:
        pulumi.log.warn(
            f"langfuse:{credential.path}: epoch {epoch} makes a new value. To use it, these start again: "
            f"{', '.join(credential.restarts)}. Until all of them have, requests between them can fail."
        )

    name = f"{credential.resource_name}-epoch-{epoch}"
    return pulumi.ResourceHook(name, announce, pulumi.ResourceHookOptions(on_dry_run=True))


def check_values(values: Sequence[tuple[Credential, str]]) -> int:
    """Refuse imported values that would do harm; how many values there are.

    Raises:
        pulumi.RunError: naming the credentials and the rules, not the values.
    """
    problems = [
        f"langfuse:{credential.path}: the value in the state ({credential.resource_name}) {problem}; import another"
        for credential, value in values
        if (problem := credential.format.problem(value))
    ]
    if problems:
        raise pulumi.RunError("\n  ".join(["credentials that can't be used:", *problems]))
    return len(values)
