"""Renders `docs/images.md`, which says what each image must contain, from the image contracts."""

from components.kubernetes.image_contracts import CONTRACTS, Contract

INTRODUCTION = """# Images

How to use a mirror and other builds, how to lock images to their digests, and what each image must contain. `make
docs` generates this page from `components/kubernetes/image_contracts.py`.

## A mirror and pull secrets

```yaml
langfuse:images:
  registry: registry.example.com/mirror # docker.io/langfuse/langfuse -> registry.example.com/mirror/langfuse/langfuse
  pullSecrets: [registry]
```

Artifactory, Harbor and the pull-through cache of ECR have a path or a name for each registry. Name the mirror of each:

```yaml
langfuse:images:
  registries:
    docker.io: 111122223333.dkr.ecr.eu-central-1.amazonaws.com/docker-hub # -> .../docker-hub/langfuse/langfuse
    quay.io: 111122223333.dkr.ecr.eu-central-1.amazonaws.com/quay # MinIO and oauth2-proxy
    ghcr.io: 111122223333.dkr.ecr.eu-central-1.amazonaws.com/github # CloudNativePG
```

Every pod of the stack uses both, including those of Jobs and of CloudNativePG. Create the Secrets in the namespace:
`kubectl create secret docker-registry`. If you use the policies, add the mirror to the setting `registries` of
[`allowed-registries`](policies.md#allowed-registries) in `policies/config/`.

## Other builds

```yaml
langfuse:images:
  builds:
    web: { repository: registry.example.com/ubi/langfuse, suffix: -ubi9 }
    worker: { repository: registry.example.com/ubi/langfuse-worker, suffix: -ubi9 }
    postgres: { repository: registry.example.com/ubi/postgres, suffix: -ubi9, uid: 26 }
```

The tag is always the release with the suffix: with `langfuse:version: 4.82.0`, web runs
`registry.example.com/ubi/langfuse:4.82.0-ubi9`. No build can stay behind when the release changes. The output `images`
names what runs.

A build runs as the user of the original image, or as its own `uid`, which is also its group and that of its volumes.
Choose it before the first deployment: a store that has data can't change it, because its files belong to the former
user.

## Lock images to their digests

A tag can be moved, a digest can't. This repository contains no digests, because only a registry can tell them. Look
them up before you deploy a production environment, and after each change of a release:

```
.venv/bin/python -m operations images lock --stack prod
git add stacks/images.lock.json
```

The command asks each registry, or the mirror, with the credentials of the pull secrets and of `docker login`, also from
the credential helpers in Docker's `config.json`. All pods
then name their images by digest. Once a stack has a digest, a preview refuses every image of it that has none.

Until then, images are named by tag, and the policy [`image-by-digest`](policies.md#image-by-digest) reports them
without stopping an update. To require the lock, remove its entry from `policies/config/prod.json`.

## What images must contain

Every image runs as the user below, without privileges, and with a read-only root file system. With
`langfuse:cluster.users: namespace`, as on OpenShift, it runs as any user in group 0: every file that the image needs
must be readable, and every program executable, for that group or for everybody.

The command below each image prints what is missing, and nothing if the image is complete. CloudNativePG's pods are
created by its operator: their image (`ghcr.io/cloudnative-pg/postgresql`) must be one that the operator supports.
"""


def render() -> str:
    """The page as Markdown."""
    return "\n".join([INTRODUCTION, *(_section(contract) for contract in CONTRACTS.values())])


def _section(contract: Contract) -> str:
    rows = {
        "User and group": str(contract.image.uid)
        + (", with a name in `/etc/passwd` or from `libnss_wrapper.so`" if contract.named_user else ""),
        "Commands on `PATH`": ", ".join(f"`{command}`" for command in contract.commands) or "none",
        "Files": ", ".join(f"`{path}`" for path in contract.files),
        "Locales": ", ".join(f"`{name}`" for name in contract.locales),
    }
    table = [f"| {what} | {value} |" for what, value in rows.items() if value]
    parts = [f"### {contract.image.repository}", "\n".join(["| | |", "| --- | --- |", *table])]
    parts += ["\n".join(f"- {note}" for note in contract.notes)] if contract.notes else []
    parts += [f"```\n{contract.docker_command}\n```"] if contract.commands else []
    return "\n\n".join(parts) + "\n"
