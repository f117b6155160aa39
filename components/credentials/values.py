"""Generates the values of credentials.

A value is generated once. A later change of a length or alphabet does not change it, because the stores and the data
keep using the first value. Only a new epoch generates another value, for credentials that can be rotated.
"""

import uuid
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_random as random

from components.credentials.registry import Credential
from components.kubernetes.installation import Installation

_LENGTH_AND_ALPHABET = (
    *("length", "lower", "minLower", "minNumeric", "minSpecial", "minUpper"),
    *("number", "numeric", "overrideSpecial", "special", "upper"),
)
"""Inputs of a RandomPassword whose change would replace it."""

_ALPHANUMERIC: Mapping[str, bool | str] = {"special": False}
"""Langfuse inserts passwords into connection URLs without encoding them."""

_HEXADECIMAL: Mapping[str, bool | str] = {"lower": False, "upper": False, "override_special": "abcdef"}

_API_KEY_PREFIX = {"public-key": "pk-lf-", "secret-key": "sk-lf-"}
"""By the key of the credential in its Secret."""


def random_value(
    credential: Credential, epoch: int, installation: Installation, opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """A value that is generated once per epoch."""
    keepers = {**credential.keepers, **({"epoch": str(epoch)} if epoch > 1 else {})}
    # Use no other random resource: the id of a RandomBytes or RandomUuid is its value, and ids are plain text in state.
    alphabet = _ALPHANUMERIC if credential.kind in {"password", "kms-key"} else _HEXADECIMAL
    value = random.RandomPassword(
        credential.resource_name,
        random.RandomPasswordArgs(
            length=credential.length,
            keepers=keepers or None,
            **alphabet,  # type: ignore[arg-type]  # bool and str
        ),
        opts=pulumi.ResourceOptions.merge(opts, _keep_value(credential, epoch, installation)),
    ).result
    match credential.kind:
        case "api-key":
            return value.apply(lambda digits: f"{_API_KEY_PREFIX[credential.key]}{uuid.UUID(hex=digits, version=4)}")
        case "kms-key":
            # 43 letters and digits with padding are 32 bytes in base64. Two bits are left over; Go ignores them.
            return value.apply(lambda characters: f"langfuse:{characters}=")
        case _:
            return value


def _keep_value(credential: Credential, epoch: int, installation: Installation) -> pulumi.ResourceOptions:
    """Options that keep a value when its length or alphabet changes in the code.

    The engine never replaces a protected resource, so a value with a later epoch is not protected. Neither is one that
    may be deleted.
    """
    opts = pulumi.ResourceOptions(ignore_changes=list(_LENGTH_AND_ALPHABET))
    if epoch == 1:
        return opts if credential.removable else installation.stateful(opts)
    opts.hooks = pulumi.ResourceHookBinding(before_create=[_rotation_warning(credential, epoch)])
    return opts


def _rotation_warning(credential: Credential, epoch: int) -> pulumi.ResourceHook:
    """Logs what a rotation restarts, only in the preview and the update that create the new value."""
    meanwhile = "the old value is accepted too" if credential.overlaps else "requests between them can fail"

    def warn(_: pulumi.ResourceHookArgs) -> None:
        pulumi.log.warn(
            f"langfuse:{credential.path}: epoch {epoch} generates a new value. These restart to use it: "
            f"{', '.join(credential.restarts)}. Until all of them have restarted, {meanwhile}."
        )

    name = f"{credential.resource_name}-epoch-{epoch}"
    return pulumi.ResourceHook(name, warn, pulumi.ResourceHookOptions(on_dry_run=True))


def check_values(values: Sequence[tuple[Credential, str]]) -> int:
    """Refuse imported values that have the wrong format.

    Returns:
        The number of values.

    Raises:
        pulumi.RunError: With the credentials and their formats, without the values.
    """
    errors = [
        f"langfuse:{credential.path}: the value in the state ({credential.resource_name}) {error}; import another value"
        for credential, value in values
        if (error := credential.format.check(value))
    ]
    if errors:
        raise pulumi.RunError("\n  ".join(["invalid credentials:", *errors]))
    return len(values)
