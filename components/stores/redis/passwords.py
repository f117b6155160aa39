"""Passwords of the Valkeys that this stack runs. They can be rotated without an outage.

Servers and Sentinels that restart with a new password also accept the one before. When all of them have restarted, and
after them web and worker, a Job makes them refuse it. `docs/stores.md` describes a rotation.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import pulumi

from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, service_account
from components.kubernetes.pods import JOB_RESOURCES, container, pod, secret_names
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.credentials import Generated
from components.schema.stores import ManagedRedis, SentinelRedis
from components.stores.connections import Endpoint, RedisConnection
from components.stores.contract import SecretRefs, StoreContext
from components.stores.redis.mode import RedisMode
from components.stores.redis.valkey import SCRIPTS

MASTER_NAME = "langfuse"
"""The name under which the Sentinels monitor the primary."""

PASSWORD_VARIABLE = "REDISCLI_AUTH"  # noqa: S105  # a name
"""The name that valkey-cli reads: Valkey keeps Redis' for compatibility."""

RETIRE = "retire-passwords.sh"

PASSWORD_SCRIPTS = ("accept-passwords.sh", "last-password.sh", RETIRE)
"""The scripts of every server. `retire-passwords.sh` is for an operator whose Secret this stack does not generate."""

WORKLOAD = "redis-passwords"

GRACE_SECONDS = 30
WAIT_SECONDS = 300
"""How long the Job waits for a server that is just restarting."""

ValkeyT = TypeVar("ValkeyT", ManagedRedis, SentinelRedis)


class ValkeyMode(RedisMode[ValkeyT]):
    """A way to run Valkey in this stack."""

    @abstractmethod
    def members(self) -> Sequence[Endpoint]:
        """The servers."""

    def sentinels(self) -> Sequence[Endpoint]:
        """The Sentinels, if there are any."""
        return ()

    def monitored_servers(self, connection: RedisConnection) -> Sequence[Endpoint]:
        """All servers."""
        return self.members()

    def password_environment(self, refs: SecretRefs) -> Environment:
        """The password, and the servers and Sentinels that use it."""
        sentinels = " ".join(endpoint.authority for endpoint in self.sentinels())
        return {
            PASSWORD_VARIABLE: refs["redis_password"],
            "MEMBERS": " ".join(endpoint.authority for endpoint in self.members()),
            **({"MASTER_NAME": MASTER_NAME, "SENTINELS": sentinels} if sentinels else {}),
        }

    @property
    def password_clients(self) -> Sequence[str]:
        """The workload of the Job, if there is one."""
        source = self.settings.credentials.values.redis_password
        return [WORKLOAD] if isinstance(source, Generated) and source.epoch > 1 else []

    def retire_credentials(self, context: StoreContext, opts: pulumi.ResourceOptions) -> None:
        """A Job, once the password has been rotated. It runs again after each rotation."""
        if not self.password_clients:
            return
        image = images.valkey(self.config.version)
        scope = Scope(self.installation.workload(WORKLOAD, component="queue", version=image.tag), opts)
        account = service_account(scope)
        mounts = [scripts_mount(scope, read_scripts(SCRIPTS, RETIRE))]
        environment = self.password_environment(context.refs)
        retire = container(
            "retire",
            image,
            command=[*run_script(RETIRE), str(WAIT_SECONDS)],
            resources=JOB_RESOURCES,
            mounts=mounts,
            env=environment,
        )
        template = pod(
            scope.workload,
            [retire],
            fs_group=image.uid,
            mounts=mounts,
            grace_seconds=GRACE_SECONDS,
            service_account=account.metadata.name,
            restart_policy="Never",
            annotations=context.checksum_annotations(secret_names(environment)),
        )
        job(scope, template, attempt_seconds=WAIT_SECONDS + 60, retries=1)
