"""Takes a managed Postgres to another major release: copies the database into a new volume, with a way back.

Each step is a change of the stack file and an update. The keys in the stack file say which step is next, so a command
that was killed at any moment continues where it was (`components/stores/postgres/upgrade.py` has the table of steps).
The application is stopped while data is copied (`operations/writers.py`).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from components.schema.environment import PROJECT
from operations import cluster_identity
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi
from operations.recovery import stack as recovery
from operations.writers import Writers

Json = Mapping[str, Any]
Say = Callable[[str], None]

KEY: Final = f"{PROJECT}:postgres"
CLAIM: Final = "kubernetes:core/v1:PersistentVolumeClaim"
JOB: Final = "langfuse-postgres-upgrade"
MAJORS: Final = range(15, 40)
"""Major releases that a volume can have been created for."""


@dataclass(frozen=True)
class Server:
    """The managed Postgres that a stack file describes."""

    version: str
    volume: int | None = None
    upgrade_to: str | None = None
    former: Json | None = None

    @classmethod
    def of(cls, pulumi: Pulumi, default: str) -> "Server":
        """The server in the stack file. `default` is the release without a key."""
        found = pulumi.config(KEY)
        if found.get("mode", "managed") != "managed":
            raise OperationError(f"{KEY}.mode is {found['mode']}: only a managed Postgres is upgraded by this command")
        keys = found.get("version", default), found.get("volume"), found.get("upgradeTo"), found.get("former")
        return cls(*keys)

    @property
    def claim(self) -> str:
        """The claim of its data."""
        return claim_name(self.volume)


def claim_name(volume: int | None) -> str:
    """The claim of a volume."""
    return f"langfuse-postgres-data{f'-{volume}' if volume else ''}"


def major(version: str) -> int:
    """The major release of a release."""
    return int(version.partition(".")[0])


class Upgrade:
    """The steps, for a stack."""

    def __init__(
        self,
        pulumi: Pulumi,
        cluster: Any,  # noqa: ANN401  # a Cluster
        say: Say,
        *,
        default: str,
        lock: Callable[[str], object],
    ) -> None:
        """Take a stack.

        Args:
            pulumi: The stack.
            cluster: Its cluster.
            say: Prints progress.
            default: The release that the program uses without a key.
            lock: Adds the image of a release to the lock file, if the images of the stack are locked.
        """
        self._pulumi, self._cluster, self._say, self._default = pulumi, cluster, say, default
        self._writers = Writers(pulumi, cluster, say)
        self._lock = lock

    @property
    def server(self) -> Server:
        """The server that the stack file describes now."""
        return Server.of(self._pulumi, self._default)

    def prepare(self) -> None:
        """Recover from a command that was killed, and refuse another cluster."""
        recovery.recover(self._pulumi, self._say)
        cluster_identity.check(self._pulumi)

    def forward(self, to: str) -> None:
        """Copy the database to another release, and switch to it."""
        server = self.server
        if server.former is None or major(server.version) != major(to):
            self._copy(server, to)
            server = self.server
            self._say(f"switching to Postgres {to} ...")
            former = {"version": server.version, **({"volume": server.volume} if server.volume else {})}
            # One write: a kill between two would leave keys that do not belong together.
            self._set({"version": to, "volume": major(to), "upgradeTo": None, "former": former})
        self._update()
        self._writers.start()

    def back(self, *, discard_writes: bool) -> None:
        """Return to the former server."""
        server = self.server
        if server.upgrade_to:
            self._discard_copy(server)
        elif server.former:
            if not discard_writes:
                raise OperationError(
                    f"what was written since the switch to {server.version} is only on its volume {server.claim}; "
                    "add --discard-writes to return without it"
                )
            self._writers.stop()
            former = server.former
            self._drop(server.claim)
            self._set({"version": former["version"], "volume": former.get("volume"), "former": None})
        self._update()
        self._delete_retained()
        self._writers.start()

    def finish(self) -> None:
        """Delete the former volume."""
        server = self.server
        if server.former is not None:
            self._drop(claim_name(server.former.get("volume")))
            self._set({"former": None})
        self._update()
        self._delete_retained()

    def _copy(self, server: Server, to: str) -> None:
        if server.upgrade_to and server.upgrade_to != to:
            raise OperationError(
                f"an upgrade to {server.upgrade_to} has begun; continue it with --to {server.upgrade_to}, or undo it "
                "with --back"
            )
        if server.former:
            raise OperationError("the last upgrade is not finished; run the command with --finish or --back first")
        if major(to) <= major(server.version):
            raise OperationError(f"{to} is not a later major release than {server.version}")
        if server.upgrade_to and self._writers.running():
            self._say("web or worker ran since the copy began: it begins again")
            self._writers.stop()
            self._discard_copy(server)
            server = self.server
        if not server.upgrade_to:
            self._require_deployed()
            self._require_no_claim(claim_name(major(to)))
            self._lock(to)
            self._set({"upgradeTo": to})
        self._writers.stop()
        self._say(f"copying the database to Postgres {to} ...")
        self._update()
        self._say(self._last_line() or f"Job {JOB} has copied the database")

    def _discard_copy(self, server: Server) -> None:
        """Delete the volume of the copy. What it holds may be older than what was written since."""
        self._drop(claim_name(major(str(server.upgrade_to))))
        self._set({"upgradeTo": None})
        self._update()
        self._delete_retained()

    def _last_line(self) -> str:
        """The last line of the log of the copy; empty if it can't be read any more."""
        try:
            log = self._cluster.log({"metadata": {"name": JOB, "namespace": self._writers.namespace}})
        except OperationError:
            return ""
        return str(log).strip().rpartition("\n")[2]

    def _require_no_claim(self, name: str) -> None:
        """Refuse a volume that is there already: the copy would find it complete."""
        namespace = self._writers.namespace
        if self._cluster.get(self._claim(name)) is not None:
            raise OperationError(
                f"volume claim {name} exists already in namespace {namespace}; if nothing needs its data, run "
                f"`kubectl --namespace {namespace} delete persistentvolumeclaim {name}`"
            )

    def _require_deployed(self) -> None:
        """Refuse a stack with other changes: they would be deployed while the application is stopped."""
        self._say(f"previewing {self._pulumi.stack} ...")
        done = self._pulumi.events("preview", "--expect-no-changes")
        if done.exit_code:
            raise OperationError(
                f"stack {self._pulumi.stack} has changes that are not deployed, or its preview fails; run "
                f"`python -m operations preview --stack {self._pulumi.stack}`, and `pulumi up` first"
            )

    def _update(self) -> None:
        self._pulumi.change("up")

    def _set(self, keys: Mapping[str, object]) -> None:
        """Write keys of `langfuse:postgres` into the stack file, all of them at once. None removes a key."""
        found = {**self._pulumi.config(KEY)}
        for key, value in keys.items():
            found.pop(key, None)
            if value is not None:
                found[key] = value
        found = {"mode": "managed", **found}
        self._pulumi.set_config(KEY, found)

    def _drop(self, claim: str) -> None:
        """Let the next update remove a claim from Pulumi's state. A retained claim stays in the cluster.

        This comes before the key is removed: a command that is killed in between removes the protection again.
        """
        for resource in self._resources():
            if resource["type"] == CLAIM and resource["urn"].endswith(f"::{claim}") and resource.get("protect"):
                self._pulumi.run("state", "unprotect", resource["urn"], "--yes")

    def _delete_retained(self) -> None:
        """Delete the volumes of Postgres that the stack file does not name any more. Pulumi retains them."""
        server = self.server
        kept = {server.claim}
        if server.former is not None:
            kept.add(claim_name(server.former.get("volume")))
        if server.upgrade_to:
            kept.add(claim_name(major(server.upgrade_to)))
        for volume in (None, *MAJORS):
            claim = self._claim(claim_name(volume))
            if claim["metadata"]["name"] not in kept and self._cluster.get(claim) is not None:
                self._say(f"deleting volume claim {claim['metadata']['name']} ...")
                self._cluster.delete(claim)

    def _claim(self, name: str) -> Json:
        return named_object("v1", "PersistentVolumeClaim", name, self._writers.namespace)

    def _resources(self) -> list[Json]:
        exported = json.loads(self._pulumi.run("stack", "export"))
        found: list[Json] = (exported.get("deployment") or {}).get("resources") or []
        return found
