"""Renders `docs/images.md`, which says what each image must contain, from the image contracts."""

from components.kubernetes.image_contracts import CONTRACTS, Contract

INTRODUCTION = """# Images

This page is for people who mirror images or build them on another base. It lists what each image must contain, so that
the commands, scripts and probes of this program work in it. `make docs` generates it from
`components/kubernetes/image_contracts.py`.

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
    parts = [f"## {contract.image.repository}", "\n".join(["| | |", "| --- | --- |", *table])]
    parts += ["\n".join(f"- {note}" for note in contract.notes)] if contract.notes else []
    parts += [f"```\n{contract.docker_command}\n```"] if contract.commands else []
    return "\n\n".join(parts) + "\n"
