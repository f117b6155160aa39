"""Confidentiality of data: encryption at rest, and separation from other environments."""

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from langfuse_policies.engine.policy import Findings, Severity, Topic, finding
from langfuse_policies.engine.settings import Settings
from langfuse_policies.facts.applications import store_of
from langfuse_policies.facts.backup_copies import targets
from langfuse_policies.facts.backup_jobs import BackupJob, backups
from langfuse_policies.facts.endpoints import Endpoint, Endpoints, hides_endpoints
from langfuse_policies.facts.fields import Field
from langfuse_policies.facts.resources import Resource, Stack
from langfuse_policies.facts.workloads import Container, pod_of, pods_of

topic = Topic("confidentiality", title="Confidentiality of data", pack="security")

#: Provisioners that encrypt only with this parameter. The disks of Google and
#: Azure are always encrypted.
_ENCRYPTION_PARAMETERS = {
    "ebs.csi.aws.com": "encrypted",
    "kubernetes.io/aws-ebs": "encrypted",
    "efs.csi.aws.com": "encryptInTransit",
    "rook-ceph.rbd.csi.ceph.com": "encrypted",
    "rbd.csi.ceph.com": "encrypted",
    "driver.longhorn.io": "encrypted",
}


@topic.resources(
    "encrypted-volumes",
    "storage.k8s.io/StorageClass",
    title="Volumes are encrypted at rest",
    why="The data on an unencrypted disk, snapshot or returned drive can be read without any password.",
    fix="Set the parameter encrypted to 'true' in the StorageClass.",
    severity=Severity.HIGH,
    also_in=("C-0264",),
)
def encrypted_volumes(resource: Resource) -> Findings:
    name = _ENCRYPTION_PARAMETERS.get(resource["provisioner"].text or "")
    if name and (parameter := resource["parameters"][name]).differs("true"):
        yield finding(parameter, "volumes of this class are not encrypted")


def _encrypts(server: Container) -> bool:
    """Whether MinIO has, or may have, an encryption key (docs/kms/README.md)."""
    names = [variable["name"] for variable in server.variables]
    hidden = not server["env"].known or server["envFrom"].size > 0 or any(not name.known for name in names)
    return hidden or any((name.text or "").startswith("MINIO_KMS_") for name in names)


@topic.stack(
    "encrypted-objects",
    title="Object stores encrypt data at rest",
    why="Otherwise media, events and backups can be read on the store's disks.",
    fix="Give MinIO a key (MINIO_KMS_SECRET_KEY_FILE, or a KMS) and set MINIO_KMS_AUTO_ENCRYPTION=on, or use an "
    "encrypted StorageClass of the stack for its claims.",
    severity=Severity.HIGH,
)
def encrypted_objects(stack: Stack) -> Findings:
    encrypted = {one.object_name for one in stack.of("storage.k8s.io/StorageClass") if _is_encrypted(one)}
    claims: dict[tuple[str, str | None], Field] = {
        (one.namespace, one.object_name): one.at("spec.storageClassName")
        for one in stack.of("core/PersistentVolumeClaim")
    }
    for pod in pods_of(stack):
        for container in pod.containers:
            is_minio = store_of(container) == "object-store" and "minio" in (container["image"].text or "")
            if not is_minio or _encrypts(container):
                continue
            templates = pod.resource.at("spec.volumeClaimTemplates")
            names = [volume["persistentVolumeClaim"]["claimName"].text for volume in pod.volumes]
            classes = [template.at("spec.storageClassName") for template in templates]
            classes += [claims[place] for name in names if (place := (pod.resource.namespace, name)) in claims]
            if all(one.known for one in classes) and not (classes and all(one.text in encrypted for one in classes)):
                yield finding(container.fields, "it has no encryption key", of=pod.resource)


def _is_encrypted(storage_class: Resource) -> bool:
    provisioner = storage_class["provisioner"].text or ""
    parameter = _ENCRYPTION_PARAMETERS.get(provisioner)
    if parameter:
        return storage_class["parameters"][parameter].equals("true")
    return provisioner in ("pd.csi.storage.gke.io", "disk.csi.azure.com")


#: Clouds that encrypt every object at rest.
_ENCRYPTING_HOSTS = re.compile(
    r"(^|\.)(amazonaws\.com(\.cn)?|googleapis\.com|blob\.core\.windows\.net|r2\.cloudflarestorage\.com"
    r"|backblazeb2\.com|digitaloceanspaces\.com)$"
)
#: Options and programs of scripts that encrypt.
_ENCRYPTS = re.compile(
    r"--?(sse|enc-|encrypt|server-side-encryption)|\b(age|gpg2?|rage)\s+-|\bopenssl\s+enc\b|\bcrypt:|encryptor|libsodium"
    r"|RESTIC_PASSWORD|BORG_PASSPHRASE",
    re.IGNORECASE,
)
#: Langfuse's own key, of which a backup takes the fingerprint.
_KEYS = ("ENCRYPTION_KEY",)
#: Values of variables that turn encryption off.
_OFF = ("none", "false", "off", "0", "")
_ENCRYPTION = re.compile(
    r"(^|[^a-z])(sse|age|gpg|kms|crypt)([^a-z]|$)|encrypt|cipher|libsodium|RESTIC_PASSWORD|BORG_PASSPHRASE",
    re.IGNORECASE,
)


@topic.stack(
    "encrypted-backups",
    title="Backups are encrypted at rest",
    why="A backup contains every trace, and is stored where more people and machines can read it than the store "
    "itself.",
    fix="Let the store encrypt it (--sse), or encrypt it before the upload (age), and keep the key elsewhere.",
    severity=Severity.HIGH,
)
def encrypted_backups(stack: Stack) -> Findings:
    own = Endpoints(stack)
    for job in backups(stack):
        if job.pod is None or hides_endpoints(job.pod) or _says_encryption(job):
            continue
        for endpoint in targets(job, stack):
            if _plain(endpoint, own):
                yield finding(endpoint.place, "nothing encrypts the backups in this place", of=endpoint.resource)
                break


def _plain(endpoint: Endpoint, own: Endpoints) -> bool:
    server = own.server(endpoint)
    return not _encrypts(server) if server else not _ENCRYPTING_HOSTS.search(endpoint.host)


def _says_encryption(job: BackupJob) -> bool:
    variables = (variable for one in job.containers for variable in one.variables)
    named = any(
        _ENCRYPTION.search(name) and name not in _KEYS and variable["value"].text not in _OFF
        for variable in variables
        if (name := variable["name"].text)
    )
    return named or any(map(_ENCRYPTS.search, job.texts))


class Environments(Settings):
    """How names show an environment."""

    words: Annotated[dict[str, tuple[str, ...]], Meta(description="Words of a name that stand for an environment.")] = (
        msgspec.field(
            default_factory=lambda: {
                "prod": ("prod", "production", "prd", "live"),
                "staging": ("staging", "stage", "stg", "preprod"),
                "dev": ("dev", "development"),
                "test": ("test", "qa"),
            }
        )
    )

    def of(self, name: str) -> set[str]:
        """The environments that a name mentions."""
        words = set(re.split(r"[^a-z0-9]+", name.lower()))
        return {environment for environment, own in self.words.items() if words & set(own)}


_NAMES_DATA = re.compile(r"BUCKET|DATABASE|POSTGRES|^PG|CLICKHOUSE|REDIS|S3_|ENDPOINT|BACKUP")


@topic.resources(
    "no-other-environment",
    title="No environment uses the stores or credentials of another one",
    why="Otherwise tests in one environment write into the data of another, and one leaked key opens both.",
    fix="Put the name of the stack into the names of stores, buckets and Secrets, and give each environment its own.",
    severity=Severity.HIGH,
    settings=Environments,
)
def no_other_environment(resource: Resource, settings: Environments) -> Findings:
    here = settings.of(resource.stack)
    if not here:
        return
    for place in _names_of_data(resource):
        named = settings.of(place.text or "")
        if named and not named & here:
            yield finding(place, "the name is that of another environment")


def _names_of_data(resource: Resource) -> Iterator[Field]:
    """Fields with names of stores, buckets and credentials."""
    if (pod := pod_of(resource)) is not None:
        for container in pod.containers:
            for variable in container.variables:
                if _NAMES_DATA.search(variable["name"].text or ""):
                    yield variable["value"]
                yield variable["valueFrom"]["secretKeyRef"]["name"]
            yield from (source["secretRef"]["name"] for source in container["envFrom"])
        yield from (volume["secret"]["secretName"] for volume in pod.volumes)
    elif resource.kind == "external-secrets.io/ExternalSecret":
        yield resource.at("spec.secretStoreRef.name")
        yield from (one["remoteRef"]["key"] for one in resource.at("spec.data"))
        yield from (one["extract"]["key"] for one in resource.at("spec.dataFrom"))
    elif "Bucket" in resource.kind:
        yield resource["bucket"]
        yield resource["name"]
