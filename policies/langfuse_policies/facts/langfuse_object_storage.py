"""Where Langfuse stores its objects: events, media, exports."""

import re
from dataclasses import dataclass

from langfuse_policies.facts.applications import langfuse_servers
from langfuse_policies.facts.bucket_lifecycles import Expiry
from langfuse_policies.facts.langfuse_environment import Variables, missing
from langfuse_policies.facts.resources import Stack

#: Purposes, and their names in Langfuse's variables.
USES = {"events": "EVENT_UPLOAD", "media": "MEDIA_UPLOAD", "exports": "BATCH_EXPORT"}


@dataclass(frozen=True)
class Target:
    """Where Langfuse stores the objects of one purpose; the bucket is empty when it is unknown."""

    purpose: str
    bucket: str
    prefix: str
    endpoint: str

    def reached_by(self, expiry: Expiry) -> bool:
        """Whether a rule certainly expires objects of this purpose."""
        if expiry.bucket and self.bucket:
            return expiry.bucket == self.bucket and _overlap(expiry.prefix, self.prefix)
        if _words(expiry.prefix):
            return self.purpose in _words(expiry.prefix)
        return self.purpose in _words(expiry.bucket or expiry.hint)


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _words(name: str) -> set[str]:
    """The words of a name, with the purposes in the plural: `langfuse-prod-event` is about events."""
    words = set(re.findall(r"[a-z]+", name.lower()))
    return words | {f"{word}s" for word in words & {"event", "export"}}


def targets_of(stack: Stack, purpose: str) -> set[Target]:
    """Where the objects of a purpose are, by the variables of web and worker."""
    variables, found = Variables(stack), set()
    for pod, container, _ in langfuse_servers(stack):
        use = f"LANGFUSE_S3_{USES[purpose]}_"
        texts = []
        for key in ("BUCKET", "PREFIX", "ENDPOINT"):
            setting = variables.setting(pod, container, use + key)
            texts.append((setting.value or "") if setting else "")
        if texts[0] or not missing(container, f"{use}BUCKET"):
            found.add(Target(purpose, *texts))
    if not found and any(stack.of("langfuse/ObjectStore")):
        found.add(Target(purpose, "", "", ""))
    return found
