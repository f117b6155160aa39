"""Every credential of an installation, as Secrets that pods read: made here, copied from a store, or there already."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.credentials.external_secrets import external_secret
from components.credentials.registry import Credential
from components.credentials.sources import Sourced
from components.credentials.values import check_values, random_value
from components.kubernetes.installation import Installation, child_options
from components.kubernetes.variables import SecretRef
from components.schema.credentials import Existing, External, Generated, SecretStore
from components.schema.purposes import PURPOSES, Purpose


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """An access key of the object store."""

    access_key_id: SecretRef
    secret_access_key: SecretRef


@dataclass(frozen=True, kw_only=True)
class CredentialsArgs:
    """What is needed and where it comes from."""

    installation: Installation
    needed: Sequence[Sourced]
    store: SecretStore | None = None
    """Where `external-secrets` reads."""

    def visible(self) -> dict[str, object]:
        """Inputs that show in state and to policies: sources, no values."""
        return {one.credential.id: one.source.model_dump() for one in self.needed}


class Credentials(pulumi.ComponentResource):
    """The Secrets of one installation, one per consumer, so that a pod is given no more than it needs.

    `refs` says by credential id where pods read it. `frozen` are Secrets with values that stored data is tied to: what
    depends on them is deleted before them.
    """

    refs: Mapping[str, SecretRef]
    secret_names: Sequence[str]
    frozen: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: CredentialsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("langfuse:index:Credentials", name, args.visible(), opts)
        self._installation = args.installation
        self._child = child_options(self, opts)
        self._workload = args.installation.workload("credentials", component="credentials", version="1")
        self._checksums: dict[str, pulumi.Output[str]] = {}
        self._made: list[tuple[Credential, pulumi.Output[str]]] = []
        refs: dict[str, SecretRef] = {}

        made: dict[str, dict[str, pulumi.Input[str]]] = {}
        beside: dict[str, Mapping[str, str]] = {}
        copied: dict[str, list[tuple[Credential, External]]] = {}
        for one in args.needed:
            credential = one.credential
            match one.source:
                case Existing(secret=secret, key=key):
                    refs[credential.id] = SecretRef(name=secret, key=key)
                case External() as source:
                    copied.setdefault(credential.secret, []).append((credential, source))
                case Generated(epoch=epoch):
                    made.setdefault(credential.secret, {})[credential.key] = self._value(credential, epoch)
                    refs[credential.id] = SecretRef(name=credential.secret, key=credential.key)
                    beside[credential.secret] = {**beside.get(credential.secret, {}), **credential.beside}
        secrets = {secret: self._secret(secret, values, beside[secret]) for secret, values in made.items()}
        frozen = {one.credential.secret for one in args.needed if one.credential.frozen}
        self.frozen = [resource for secret, resource in secrets.items() if secret in frozen]
        for secret, entries in copied.items():
            refs |= self._copy(secret, entries, args.store)
        self.refs = refs
        self.secret_names = tuple(dict.fromkeys(ref.name for ref in refs.values()))
        # Beside what reads the values: an error there would be told again by everything that waits for them.
        credentials = [credential for credential, _ in self._made]
        checked = pulumi.Output.all(*(value for _, value in self._made)).apply(
            lambda values: check_values(list(zip(credentials, values, strict=True)))
        )
        self.register_outputs({"secrets": list(self.secret_names), "checked": pulumi.Output.unsecret(checked)})

    @property
    def postgres(self) -> SecretRef:
        """The password of Postgres."""
        return self.refs["postgres_password"]

    @property
    def clickhouse(self) -> SecretRef:
        """The password of ClickHouse's user langfuse."""
        return self.refs["clickhouse_password"]

    @property
    def clickhouse_backup(self) -> SecretRef:
        """The password of ClickHouse's user backup."""
        return self.refs["clickhouse_backup_password"]

    @property
    def clickhouse_interserver(self) -> SecretRef:
        """What ClickHouse's replicas show each other."""
        return self.refs["clickhouse_interserver_password"]

    @property
    def redis(self) -> SecretRef:
        """The password of Redis and of its Sentinels."""
        return self.refs["redis_password"]

    @property
    def object_store_root(self) -> KeyPair:
        """The key of MinIO's administrator."""
        return self._key_pair("root")

    @property
    def object_store_encryption(self) -> SecretRef:
        """The key that MinIO encrypts objects with, with its name."""
        return self.refs["object_store_encryption_key"]

    @property
    def buckets(self) -> Mapping[Purpose, KeyPair]:
        """The key for each bucket; none where the pods' identity stands for it."""
        return {
            purpose: self._key_pair(purpose)
            for purpose in PURPOSES
            if f"object_store_{purpose}_access_key_id" in self.refs
        }

    def annotations(self, names: Iterable[str]) -> dict[str, pulumi.Output[str]]:
        """Pod annotations that change when one of the named Secrets does, so that its readers start again.

        They follow their Secrets, so that no pod is made before what it reads. Of a Secret that was there already
        nothing is known; one that a secret store fills has an annotation that changes with its entries' names alone.
        """
        return {f"checksum/{name}": self._checksums[name] for name in sorted(names) if name in self._checksums}

    def _key_pair(self, purpose: str) -> KeyPair:
        return KeyPair(
            access_key_id=self.refs[f"object_store_{purpose}_access_key_id"],
            secret_access_key=self.refs[f"object_store_{purpose}_secret_access_key"],
        )

    def _value(self, credential: Credential, epoch: int) -> pulumi.Input[str]:
        if credential.kind == "fixed":
            return f"{self._installation.instance}-{credential.secret.rsplit('-', maxsplit=1)[-1]}"
        value = random_value(credential, epoch, self._installation, pulumi.ResourceOptions(parent=self))
        self._made.append((credential, value))
        return value

    def _secret(
        self, name: str, values: Mapping[str, pulumi.Input[str]], beside: Mapping[str, str]
    ) -> k8s.core.v1.Secret:
        """A Secret. Its checksum tells nothing about its values: each has at least 128 random bits.

        Its metadata is secret in the state: after `kubectl apply` an annotation there repeats the data.
        """
        opts = pulumi.ResourceOptions(additional_secret_outputs=["metadata"])
        secret = k8s.core.v1.Secret(
            name,
            metadata=self._installation.metadata(self._workload, name=name),
            string_data={**values, **beside},
            opts=pulumi.ResourceOptions.merge(self._installation.stateful(self._child), opts),
        )
        self._checksums[name] = pulumi.Output.unsecret(pulumi.Output.all(id=secret.id, **values).apply(_checksum))
        return secret

    def _copy(
        self, secret: str, entries: Sequence[tuple[Credential, External]], store: SecretStore | None
    ) -> dict[str, SecretRef]:
        """A Secret from the store. It has a name of its own, so that a change of source never fights over one."""
        if store is None:
            raise AssertionError("the rules require credentials.secretStore")
        name = f"{secret}-external"
        sources = {credential.key: source for credential, source in entries}
        permanent = any(credential.permanent for credential, _ in entries)
        resource = external_secret(
            self._installation,
            self._workload,
            name,
            sources,
            store,
            permanent=permanent,
            beside={key: value for credential, _ in entries for key, value in credential.beside.items()},
            opts=self._child,
        )
        named = {key: f"{source.remote_key}#{source.property or ''}" for key, source in sources.items()}
        self._checksums[name] = pulumi.Output.all(id=resource.id, **named).apply(_checksum)
        return {credential.id: SecretRef(name=name, key=credential.key) for credential, _ in entries}


def secrets_of(refs: Mapping[str, SecretRef], *prefixes: str) -> set[str]:
    """The Secrets with credentials whose ids begin so."""
    return {ref.name for id_, ref in refs.items() if id_.startswith(prefixes)}


def _checksum(contents: Mapping[str, str]) -> str:
    return hashlib.sha256("\n".join(f"{key}={contents[key]}" for key in sorted(contents)).encode()).hexdigest()
