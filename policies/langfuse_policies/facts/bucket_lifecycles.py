"""Lifecycle rules of buckets: in resources of clouds, files, and commands that configure a store."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import pod_of

AWS_LIFECYCLES = ("aws/BucketLifecycleConfiguration", "aws/BucketLifecycleConfigurationV2")
AWS_BUCKETS = ("aws/Bucket", "aws/BucketV2")
#: The bucket of this project, a dynamic resource: components/stores/object_store/bucket_rules.py.
OWN_BUCKET = "pulumi-python/Bucket"

_ADD = re.compile(r"\bmc ilm (?:rule )?add\b(?P<rest>(?:[^\n;|&\\]|\\\n)*)")
_REMOVE = re.compile(r"\bmc (?:rm|find)\b(?P<rest>(?:[^\n;|&\\]|\\\n)*--older-than(?:[^\n;|&\\]|\\\n)*)")
_IMPORT = re.compile(
    r"\bmc ilm (?:rule )?import[ \t]+[\"']?(?P<target>[^\s\"'<]+)[\"']?[ \t]*<[ \t]*[\"']?(?P<file>[^\s\"';]+)"
)
_DAYS = re.compile(r"--(?:expire-days|expiry-days|older-than)[ =][\"']?(?P<days>\d{1,6})d?")
_PREFIX = re.compile(r"--prefix[ =][\"']?(?P<prefix>[^\s\"']+)")
_TARGET = re.compile(r"(?<![\w-])[\"']?[A-Za-z][\w-]*/(?P<bucket>[^\s\"'/]+)(?:/(?P<prefix>[^\s\"']*))?")


@dataclass(frozen=True)
class Expiry:
    """One rule that expires current objects."""

    #: The bucket's name; empty when it is unknown.
    bucket: str
    #: A hint where the bucket's name is unknown: the name of a file, a variable or a resource.
    hint: str
    prefix: str
    days: float | None
    place: Field
    owner: Resource


def expiries(stack: Stack) -> list[Expiry]:
    """Every rule of the stack that expires objects."""
    found: list[Expiry] = []
    files: list[Expiry] = []
    targets: dict[str, set[str]] = {}
    for resource in stack.resources:
        found += _of_resource(resource)
        files += _of_files(resource)
        for place in _texts(resource):
            text = place.text or ""
            found += _of_commands(text, place, resource)
            for match in _IMPORT.finditer(text):
                bucket = match["target"].split("/")[1:2]
                if bucket and "$" not in bucket[0]:
                    targets.setdefault(_stem(match["file"]), set()).add(bucket[0])
    return found + [one for each in files for one in _attributed(each, targets)]


def _attributed(expiry: Expiry, targets: dict[str, set[str]]) -> list[Expiry]:
    """The rules of a file, for each bucket that a command imports it into; without one, the file's name is the hint."""
    buckets = targets.get(expiry.hint)
    return [replace(expiry, bucket=bucket) for bucket in sorted(buckets)] if buckets else [expiry]


def _of_resource(resource: Resource) -> Iterator[Expiry]:
    bucket = resource["bucket"].text or ""
    if resource.kind in AWS_LIFECYCLES:
        yield from _of_s3(resource["rules"], bucket, resource.name, resource)
    elif resource.kind in AWS_BUCKETS:
        yield from _of_s3(resource["lifecycleRules"], bucket, resource.name, resource)
    elif resource.kind == "minio/IlmPolicy":
        yield from _of_minio(resource)
    elif resource.kind == "gcp/Bucket":
        yield from _of_gcp(resource)
    elif resource.kind == OWN_BUCKET and (days := resource["expireDays"]).present:
        yield Expiry(resource["name"].text or "", resource.name, "", days.number, days, resource)
    elif resource.kind == "langfuse/ObjectStore":
        yield from _of_component(resource)


def _of_component(resource: Resource) -> Iterator[Expiry]:
    """The inputs of this project's component: `eventsDays`, `exportsDays`."""
    for purpose in ("events", "media", "exports"):
        if (days := resource[f"{purpose}Days"]).present:
            yield Expiry("", purpose, "", days.number, days, resource)


def _of_minio(resource: Resource) -> Iterator[Expiry]:
    for rule in resource["rules"]:
        days = re.match(r"(\d{1,6})d$", rule["expiration"].text or "")
        if days and not rule["status"].equals("Disabled"):
            bucket, prefix = resource["bucket"].text or "", rule["filter"].text or ""
            yield Expiry(bucket, resource.name, prefix, float(days[1]), rule, resource)


def _of_s3(rules: Iterable[Field], bucket: str, hint: str, owner: Resource) -> Iterator[Expiry]:
    """Rules in the language of S3, as Pulumi spells it."""
    for rule in rules:
        status, conditions = rule["status"], rule["filter"]
        enabled = not status.equals("Disabled") and not rule["enabled"].equals(False)
        expiration = rule["expiration"]
        tagged = conditions["tag"].present or conditions.at("and.tags").present
        if not enabled or tagged or not (expiration["days"].present or expiration["date"].present):
            continue
        prefix = next((text for place in (conditions, conditions["and"], rule) if (text := place["prefix"].text)), "")
        yield Expiry(bucket, hint, prefix, expiration["days"].number, rule, owner)


def _of_gcp(resource: Resource) -> Iterator[Expiry]:
    for rule in resource["lifecycleRules"]:
        condition = rule["condition"]
        archived = condition["withState"].equals("ARCHIVED") or condition["daysSinceNoncurrentTime"].present
        if rule.at("action.type").equals("Delete") and condition["age"].present and not archived:
            for prefix in condition["matchesPrefixes"].texts or [""]:
                name = resource["name"].text or ""
                yield Expiry(name, resource.name, prefix, condition["age"].number, rule, resource)


def _of_files(resource: Resource) -> Iterator[Expiry]:
    """Files of rules in a ConfigMap: `media.lifecycle.json` is for the bucket of that name or purpose."""
    if resource.kind != "core/ConfigMap":
        return
    for key, value in resource["data"].entries():
        text = value.text
        if text is None or "Expiration" not in text:
            continue
        try:
            rules = json.loads(text)["Rules"]
        except (ValueError, TypeError, KeyError):
            continue
        for rule in rules if isinstance(rules, list) else ():
            if (found := _json_rule(rule)) is not None:
                yield Expiry("", _stem(key), found[0], found[1], value, resource)


def _json_rule(rule: object) -> tuple[str, float | None] | None:
    """Prefix and days of a rule in the JSON of S3; None if it expires no current object."""
    if not isinstance(rule, dict) or rule.get("Status") == "Disabled" or not isinstance(rule.get("Expiration"), dict):
        return None
    days, conditions = rule["Expiration"].get("Days"), rule.get("Filter")
    if days is None and "Date" not in rule["Expiration"]:
        return None
    both = conditions.get("And") if isinstance(conditions, dict) else None
    places = [place for place in (conditions, both, rule) if isinstance(place, dict)]
    if any("Tag" in place or "Tags" in place for place in places):
        return None
    prefix = next((str(place["Prefix"]) for place in places if place.get("Prefix")), "")
    return prefix, float(days) if isinstance(days, int | float) else None


def _of_commands(text: str, place: Field, owner: Resource) -> Iterator[Expiry]:
    """`mc ilm rule add --expire-days 30 store/BUCKET` and `mc rm --older-than 30d store/BUCKET/PREFIX`."""
    if "mc " not in text:
        return
    for match in (*_ADD.finditer(text), *_REMOVE.finditer(text)):
        days, target = _DAYS.search(match["rest"]), _TARGET.search(_PREFIX.sub("", match["rest"]))
        if days is None or target is None:
            continue
        given = _PREFIX.search(match["rest"])
        bucket, prefix = target["bucket"], given["prefix"] if given else target["prefix"] or ""
        yield Expiry("" if "$" in bucket else bucket, bucket, prefix, float(days["days"]), place, owner)


def _texts(resource: Resource) -> Iterator[Field]:
    """Commands: scripts in ConfigMaps, commands and arguments of containers."""
    if resource.kind == "core/ConfigMap":
        yield from (value for _, value in resource["data"].entries())
    pod = pod_of(resource)
    for container in pod.containers if pod else ():
        yield from (*container["command"], *container["args"])


def _stem(path: str) -> str:
    """`/desired-state/events.lifecycle.json` as `events`."""
    return re.sub(r"(?:[._-]?(?:lifecycle|ilm))?(?:\.\w{2,5})?$", "", path.rpartition("/")[2])
