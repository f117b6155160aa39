"""The requirements on each image: the commands and files that the stack's commands, scripts and probes use.

They are for users who mirror images or build them on another base. `docs/images.md` is generated from them, with a
command that checks an image. `tests/unit/kubernetes/test_image_contracts.py` compares them with the rendered pods.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.schema import images
from components.schema.images import DEFAULT_VERSION, Image


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The requirements on one image. It must also run as a numeric user with a read-only root file system."""

    image: Image
    """The image in its default release. Other releases have the same requirements."""
    commands: Sequence[str]
    """Commands on PATH. `sh` is /bin/sh, a POSIX shell."""
    files: Sequence[str] = ()
    """Files that scripts read."""
    locales: Sequence[str] = ()
    named_user: bool = False
    """Whether the user must have an entry in /etc/passwd, or libnss_wrapper supplies one: a cluster may assign any user
    (`langfuse:cluster.users`)."""
    notes: Sequence[str] = ()
    """Requirements that no command can check."""

    @property
    def check(self) -> str:
        """A script for `/bin/sh -c` in the image. It prints what is missing."""
        lines = [f'for c in {" ".join(self.commands)}; do command -v "$c" > /dev/null || echo "no $c"; done']
        lines += [f'[ -r {path} ] || echo "no {path}"' for path in self.files]
        lines += [f'case $(locale -a) in *{name}*) ;; *) echo "no locale {name}" ;; esac' for name in self.locales]
        if self.named_user:
            lines.append(
                "id -un > /dev/null 2>&1 || ls /usr/lib/*/libnss_wrapper.so /usr/lib/libnss_wrapper.so 2> /dev/null | "
                'grep -q . || echo "user $(id -u) has no name, and there is no libnss_wrapper.so"'
            )
        return "; ".join(lines)

    @property
    def docker_command(self) -> str:
        """The check as a docker command. It prints nothing if all requirements are met."""
        uid = self.image.uid
        return (
            f"docker run --rm --read-only --user {uid}:{uid} --entrypoint /bin/sh \\\n"
            f"  {self.image.reference} -c {shlex.quote(self.check)}"
        )


_POSTGRES_STOP = (
    "Its stop signal is SIGINT, a fast shutdown. After a SIGTERM the server waits for all clients to disconnect, and "
    "is killed.",
    "A data directory that an earlier version of this program created also needs the locale `en_US.utf8`.",
)
_ENTRYPOINT = "Its entrypoint must be that of Langfuse: the stack runs it."

CONTRACTS: Mapping[str, Contract] = {
    contract.image.repository: contract
    for contract in (
        Contract(
            image=images.POSTGRES,
            commands=(
                *("sh", "awk", "cat", "chmod", "cut", "date", "grep", "head", "id", "ls", "mkdir", "mkfifo", "mv"),
                *("rm", "sed", "sha256sum", "sleep", "sync", "tail", "tee", "tr", "wc"),
                *("initdb", "pg_controldata", "pg_ctl", "pg_dump", "pg_dumpall", "pg_isready", "pg_restore"),
                *("postgres", "psql"),
            ),
            locales=("C.utf8",),
            named_user=True,
            notes=_POSTGRES_STOP,
        ),
        Contract(
            image=images.CLICKHOUSE,
            commands=(
                *(
                    "sh",
                    "awk",
                    "cat",
                    "clickhouse-client",
                    "clickhouse-server",
                    "cut",
                    "date",
                    "head",
                    "kill",
                    "rm",
                    "sed",
                ),
                *("sleep", "sort", "tail", "tr"),
            ),
        ),
        Contract(image=images.CLICKHOUSE_KEEPER, commands=("clickhouse-keeper",)),
        Contract(
            image=images.VALKEY,
            commands=(
                *(
                    "sh",
                    "cut",
                    "date",
                    "dirname",
                    "expr",
                    "grep",
                    "mv",
                    "sed",
                    "sha256sum",
                    "sleep",
                    "sort",
                    "tail",
                    "timeout",
                    "tr",
                ),
                *("valkey-cli", "valkey-server"),
            ),
        ),
        Contract(image=images.MINIO, commands=("sh", "curl", "date", "minio", "sleep")),
        Contract(
            image=images.OAUTH2_PROXY,
            commands=(),
            notes=(
                "Its entrypoint must be `oauth2-proxy`, which the stack configures by environment variables.",
                "It has the certificates of public CAs.",
            ),
        ),
        *(
            Contract(
                image=image,
                commands=(),
                notes=(f"Its entrypoint must be `{program}`, which the stack configures.",),
            )
            for image, program in (
                (images.STATSD_EXPORTER, "statsd_exporter"),
                (images.REDIS_EXPORTER, "redis_exporter"),
                (images.POSTGRES_EXPORTER, "postgres_exporter"),
            )
        ),
        Contract(
            image=images.MINIO_CLIENT,
            commands=("sh", "date", "mc", "sleep", "timeout"),
            notes=("It has the certificates of public CAs in a directory where Go looks for them.",),
        ),
        Contract(
            image=images.RCLONE,
            commands=("sh", "cat", "cp", "rclone", "sort"),
            notes=(
                "`rclone` is statically linked: the backup of Postgres runs it in the image of Postgres.",
                "It has the certificates of public CAs in a directory where Go looks for them.",
            ),
        ),
        Contract(
            image=images.web(DEFAULT_VERSION),
            commands=("sh", "cat", "cp", "rm", "sed", "wc"),
            files=("/app/packages/shared/scripts/cleanup.sql",),
            notes=(_ENTRYPOINT, "It has the certificates of public CAs in a directory where Go looks for them."),
        ),
        Contract(
            image=images.worker(DEFAULT_VERSION),
            commands=("node", "sh"),
            notes=(
                _ENTRYPOINT,
                "It has Langfuse's clients of the stores in `node_modules`: the check of the stores and backups use "
                "them.",
            ),
        ),
    )
}
"""By repository."""
