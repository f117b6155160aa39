"""The steps of a backup that work with manifests: containers that run scripts in Langfuse's worker image.

They are in JavaScript, because that image has Node and the S3 client, and every cluster has it. The rules of sets,
chains and retention are in `scripts/sets.js` alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from components.application.component import ApplicationContext
from components.application.store_checks import SCRIPTS as STORE_CHECKS
from components.application.store_checks import store_check_scripts
from components.kubernetes.files import SCRIPTS_PATH, read_scripts
from components.kubernetes.objects import Scope, service_account
from components.kubernetes.pods import Container, Mount, PodTemplate, container, pod
from components.kubernetes.variables import Environment
from components.schema import images
from components.schema.application import Backups
from components.schema.base import Resources

SCRIPTS = Path(__file__).parent / "scripts"

MODULES = ("bucket.js", "clickhouse-backups.js", "inventory.js", "sets.js", "verdicts.js")
"""What the scripts of several steps use."""

WORK = Mount.scratch("work", "/work", size="1Gi")
"""Where a step leaves notes for the next ones. The largest is the list of media: about 40 MB for a million."""

RESOURCES = Resources(cpu="50m", cpu_limit="1", memory="512Mi", ephemeral_storage="2Gi")
"""For Node with the S3 client. It holds the list of a backup's files, which takes 60 MB for 100,000 files."""

HEAP_MEBIBYTES = 384

GRACE_SECONDS = 30


def keep_environment(settings: Backups) -> Environment:
    """Which sets are kept (`keepOf` in `inventory.js`)."""
    keep = settings.keep
    return {
        "KEEP_MINIMUM": str(keep.minimum),
        "KEEP_DAILY": str(keep.daily),
        "KEEP_WEEKLY": str(keep.weekly),
        "KEEP_MONTHLY": str(keep.monthly),
        "KEEP_BEFORE_UPGRADE_DAYS": str(keep.before_upgrade_days),
        "KEEP_LEGACY_DAYS": str(settings.retention_days),
    }


def steps_pod(
    context: ApplicationContext,
    scope: Scope,
    containers: Sequence[Container],
    mounts: Sequence[Mount],
    annotations: Mapping[str, str] | None = None,
    *,
    grace_seconds: int = GRACE_SECONDS,
) -> PodTemplate:
    """The pod of a run, with a service account of its own.

    Args:
        context: Settings, stores and credentials.
        scope: The workload.
        containers: The steps in order. Each starts when the former one has ended.
        mounts: All volumes.
        annotations: Annotations of the service account, which may give it an identity in the cloud.
        grace_seconds: Time to end.
    """
    return pod(
        scope.workload,
        containers[-1:],
        init_containers=containers[:-1],
        fs_group=images.worker(context.settings.version).uid,
        mounts=mounts,
        grace_seconds=grace_seconds,
        service_account=service_account(scope, annotations).metadata.name,
        restart_policy="Never",
    )


def step_scripts(*names: str) -> dict[str, str]:
    """Scripts of steps with the modules that they use, as the data of a ConfigMap."""
    results = STORE_CHECKS[1]
    return {**read_scripts(SCRIPTS, *names, *MODULES), results: store_check_scripts()[results]}


def step(
    name: str, context: ApplicationContext, script: str, mounts: Sequence[Mount], environment: Environment
) -> Container:
    """A container that runs the script of one step.

    Args:
        name: Name of the container.
        context: Settings, stores and credentials.
        script: Name of the script.
        mounts: The scripts. `WORK` is added.
        environment: Variables of the script.
    """
    return container(
        name,
        images.worker(context.settings.version),
        command=["node", f"{SCRIPTS_PATH}/{script}"],
        resources=RESOURCES,
        mounts=[*mounts, WORK],
        env={
            "NODE_OPTIONS": f"--max-old-space-size={HEAP_MEBIBYTES}",
            "HOME": WORK.path,
            "WORK_DIR": WORK.path,
            **environment,
        },
    )
