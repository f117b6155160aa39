"""The Job that brings buckets, lifecycle rules, users and policies of MinIO to the desired state."""

from pathlib import Path

import pulumi_kubernetes as k8s

from components.kubernetes.files import read_scripts, run_script, scripts_mount
from components.kubernetes.jobs import job
from components.kubernetes.objects import Scope, config_map, service_account
from components.kubernetes.pods import JOB_RESOURCES, Mount, container, pod, secret_names
from components.kubernetes.variables import Environment
from components.schema import images
from components.stores.clients import object_store_environment
from components.stores.connections import ObjectStoreConnection
from components.stores.contract import SecretRefs, StoreContext
from components.stores.object_store.buckets import bucket_environment
from components.stores.object_store.mode import key_ids

SCRIPTS = Path(__file__).parent / "scripts"

IMAGE = images.MINIO_CLIENT
DESIRED_STATE_PATH = "/desired-state"

GRACE_SECONDS = 30
WAIT_SECONDS = 600
"""How long provisioning waits for a server that still needs its volume and its image."""

ATTEMPT_SECONDS = WAIT_SECONDS + 300
"""After the wait, some hundred short requests."""


def provisioning_job(scope: Scope, context: StoreContext, desired_state: dict[str, str]) -> k8s.batch.v1.Job:
    """The Job. It runs again when the desired state, a key or the script changes.

    Args:
        scope: The workload of the Job.
        context: Credentials and the object store.
        desired_state: The files that the script applies.
    """
    account = service_account(scope)
    scripts = scripts_mount(scope, read_scripts(SCRIPTS, "provision-object-store.sh"))
    files = config_map(scope, "desired-state", desired_state)
    mounts = [
        scripts,
        Mount.config("desired-state", files.metadata.name, DESIRED_STATE_PATH),
        Mount.scratch("client", "/client"),
    ]
    environment = provisioning_environment(context.refs, context.object_store)
    provision = container(
        "provision",
        IMAGE,
        command=run_script("provision-object-store.sh"),
        resources=JOB_RESOURCES,
        mounts=mounts,
        env=environment,
    )
    template = pod(
        scope.workload,
        [provision],
        fs_group=IMAGE.uid,
        mounts=mounts,
        grace_seconds=GRACE_SECONDS,
        service_account=account.metadata.name,
        restart_policy="Never",
        annotations=context.checksum_annotations(secret_names(environment)),
    )
    return job(scope, template, attempt_seconds=ATTEMPT_SECONDS, retries=1)


def provisioning_environment(refs: SecretRefs, connection: ObjectStoreConnection) -> Environment:
    """The variables of the provisioning script."""
    access_key_id, secret_access_key = key_ids("root")
    return {
        **object_store_environment(connection, "/client"),
        "ROOT_ACCESS_KEY_ID": refs[access_key_id],
        "ROOT_SECRET_ACCESS_KEY": refs[secret_access_key],
        **bucket_environment(connection.buckets),
        **(connection.prune.keys("PRUNE_") if connection.prune else {}),
        **(connection.verify.keys("VERIFY_") if connection.verify else {}),
        "WAIT_SECONDS": str(WAIT_SECONDS),
        "DESIRED_STATE": DESIRED_STATE_PATH,
    }
