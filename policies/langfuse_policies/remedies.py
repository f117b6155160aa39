"""Remedies: labels and annotations that a rule can add by itself, where its level is `remediate`."""

from collections.abc import MutableMapping
from typing import Any, cast

from pulumi_policy import ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError

from langfuse_policies.resources import Resource
from langfuse_policies.rules import Rule
from langfuse_policies.waivers import Ledger, place_of


def remedied(rule: Rule, args: ResourceValidationArgs, ledger: Ledger | None = None) -> Any:  # noqa: ANN401  # the SDK's proxy, changed in place
    """The properties with what was missing; None when nothing is, when it is waived, or can't be known yet."""
    subject = Resource.of(args)
    missing = rule.remedy(subject) if rule.remedy and rule.reads(subject) else {}
    if not missing or (ledger and ledger.holds(rule.id, place_of(subject))):
        return None
    properties = cast(MutableMapping[str, Any], args.props)  # the proxy writes through to what the engine gets back
    try:
        if "metadata" not in properties:
            properties["metadata"] = {}
        metadata = properties["metadata"]
        for where, entries in missing.items():
            if where not in metadata:
                metadata[where] = {}
            for key, value in entries.items():
                metadata[where][key] = value
    except UnknownValueError:
        return None
    return properties
