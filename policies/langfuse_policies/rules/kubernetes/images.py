"""Images: versions, digests and registries."""

import re
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.image_references import IMAGE_KINDS, ImageReference, images_of
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import pod_of, pods_of

topic = Topic("images", title="Images", pack="security")

#: How many numbers a full version has: with fewer, the tag moves to the next release.
_RELEASE_NUMBERS = {
    "langfuse": 3, "langfuse-worker": 3, "clickhouse-server": 4, "clickhouse-keeper": 4, "valkey": 3, "redis": 3,
    "postgres": 2,
}  # fmt: skip
_MAJOR_ONLY = re.compile(r"v?\d{1,2}(-[A-Za-z.]+)?$")  # longer numbers are dates and builds


@topic.resources(
    "image-by-digest",
    *IMAGE_KINDS,
    title="Images are named by digest",
    why="A tag can be moved: the program that was reviewed and the one that a node pulls later may differ.",
    fix="Append the digest that the registry shows for the tag: repository:tag@sha256:...",
    severity=Severity.HIGH,
    also_in=("NSA: container images", "CKV_K8S_43", "Kyverno: require-image-checksum", "Gatekeeper: k8simagedigests"),
)
def image_by_digest(resource: Resource) -> Findings:
    for field, image in images_of(resource):
        if not image.pinned:
            yield finding(field, "the digest is not a SHA-256 digest" if image.digest else "has no digest")


@topic.resources(
    "image-of-a-release",
    *IMAGE_KINDS,
    title="Tags name an exact release",
    why="A floating tag can bring another version at the next restart, and with it migrations that nobody planned "
    "(langfuse-k8s issue 109).",
    fix="Name the full version, for example 4.16.0, or the digest.",
    severity=Severity.HIGH,
    also_in=("CIS 5.5.1", "CKV_K8S_14", "C-0075", "KSV013", "Gatekeeper: k8sdisallowedtags", "kube-linter: latest-tag"),
)
def image_of_a_release(resource: Resource) -> Findings:
    for field, image in images_of(resource):
        if image.pinned:
            continue
        if not image.tag:
            yield finding(field, "has no tag, so it is the latest version")
        elif _floats(image):
            yield finding(field, "the tag moves with each release")


def _floats(image: ImageReference) -> bool:
    if not re.search(r"\d", image.tag) or _MAJOR_ONLY.match(image.tag):
        return True
    return 0 < len(image.version) < _RELEASE_NUMBERS.get(image.name, 0)


class Registries(Settings):
    """Where images may come from."""

    registries: Annotated[
        tuple[str, ...], Meta(description="Registries, or paths below one, for example `registry.example.com/mirror`.")
    ] = (
        "docker.io/langfuse",
        "docker.langfuse.com/langfuse",
        "docker.io/library",
        "docker.io/clickhouse",
        "docker.io/valkey",
        "docker.io/chrislusf",
        "docker.io/amazon",
        "docker.io/rclone",
        "quay.io/minio",
        "quay.io/oauth2-proxy",
        "quay.io/oliver006",
        "quay.io/prometheus",
        "quay.io/prometheuscommunity",
        "ghcr.io/cloudnative-pg",
        "public.ecr.aws/docker/library",
        "registry.k8s.io",
    )


@topic.resources(
    "allowed-registries",
    *IMAGE_KINDS,
    title="Images come from known registries",
    why="The owner of the registry decides which program runs, with or without a digest.",
    fix="Copy the image to your own registry, or add its registry to the setting `registries` of this policy.",
    severity=Severity.HIGH,
    also_in=("NSA: container images", "C-0078", "KSV034", "KSV125", "Gatekeeper: k8sallowedrepos"),
    settings=Registries,
)
def allowed_registries(resource: Resource, settings: Registries) -> Findings:
    for field, image in images_of(resource):
        if not any(image.within(prefix) for prefix in settings.registries):
            yield finding(field, "comes from a registry that is not allowed")


class Abandoned(Settings):
    """Images that are no longer maintained."""

    repositories: Annotated[
        tuple[str, ...], Meta(description="Registries, or paths below one, whose images get no fixes or were removed.")
    ] = ("docker.io/bitnami", "docker.io/bitnamilegacy", "docker.io/minio")


@topic.resources(
    "no-abandoned-image",
    *IMAGE_KINDS,
    title="Images are maintained",
    why="Bitnami's free images were frozen in August 2025, and MinIO's images were removed from Docker Hub in "
    "September 2026: they get no fixes, and may become unavailable.",
    fix="Use the image of the project itself, or a maintained build.",
    severity=Severity.HIGH,
    settings=Abandoned,
)
def no_abandoned_image(resource: Resource, settings: Abandoned) -> Findings:
    for field, image in images_of(resource):
        if any(image.within(prefix) for prefix in settings.repositories):
            yield finding(field, "is no longer maintained")


@topic.resources(
    "no-needless-pull",
    *IMAGE_KINDS,
    title="An image with a digest is pulled once",
    why="The content of a digest never changes. Pulling it at every start makes each start depend on the registry.",
    fix="Set imagePullPolicy: IfNotPresent.",
    severity=Severity.LOW,
)
def no_needless_pull(resource: Resource) -> Findings:
    for field, policy in _pull_policies(resource):
        if ImageReference.of(field.text or "").pinned and policy.equals("Always"):
            yield finding(policy, "contacts the registry at every start, although the node has the image")


@topic.resources(
    "image-can-be-pulled",
    *IMAGE_KINDS,
    title="Nodes may pull images",
    why="With the policy Never, a pod starts only on nodes that already have the image.",
    fix="Set imagePullPolicy: IfNotPresent.",
    severity=Severity.LOW,
)
def image_can_be_pulled(resource: Resource) -> Findings:
    for _, policy in _pull_policies(resource):
        if policy.equals("Never"):
            yield finding(policy, "the image is never pulled")


def _pull_policies(resource: Resource) -> Iterator[tuple[Field, Field]]:
    """Images with their pull policies."""
    if (pod := pod_of(resource)) is not None:
        for container in pod.containers:
            yield container["image"], container["imagePullPolicy"]
        for volume in pod.volumes:
            yield volume["image"]["reference"], volume["image"]["pullPolicy"]
    if resource.kind == "postgresql.cnpg.io/Cluster":
        yield resource.at("spec.imageName"), resource.at("spec.imagePullPolicy")


@topic.stack(
    "pull-secret-of-a-registry",
    title="Pull secrets contain the credentials of a registry",
    why="The kubelet silently skips a pull secret of another type, and the image can't be pulled.",
    fix="Use a Secret of type kubernetes.io/dockerconfigjson.",
    severity=Severity.LOW,
)
def pull_secret_of_a_registry(stack: Stack) -> Findings:
    secrets = {(one.namespace, one.object_name): one for one in stack.of("core/Secret") if one.object_name}
    users = [(pod.resource, pod.spec["imagePullSecrets"]) for pod in pods_of(stack)]
    users += [(account, account["imagePullSecrets"]) for account in stack.of("core/ServiceAccount")]
    for resource, references in users:
        for reference in references:
            secret = secrets.get((resource.namespace, reference["name"].text or ""))
            if secret and secret["type"].differs("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg"):
                yield finding(reference["name"], "the Secret is not of a registry type", of=resource)
