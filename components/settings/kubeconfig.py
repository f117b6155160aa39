"""Finds and checks the kubeconfig of the cluster, before anything connects with it.

The Kubernetes provider treats a path that it cannot open as the content of a kubeconfig, and reports an error about
JSON (`parseKubeconfigString` in provider/pkg/provider/util.go of pulumi-kubernetes). Its SDK passes KUBECONFIG on as
one path, even if it lists several files.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pulumi

from components.schema.cluster import Cluster
from components.schema.environment import PROJECT
from components.settings import documents
from components.settings.documents import Document, DocumentError

VARIABLE: Final = "KUBECONFIG"
DEFAULT: Final = "~/.kube/config"
TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""What a pod uses instead of a kubeconfig (the in-cluster configuration of client-go)."""

FIX: Final = f"set {VARIABLE} or {PROJECT}:cluster.kubeconfig to the path of a kubeconfig"


def location(cluster: Cluster) -> str:
    """The path of the kubeconfig, or several paths separated by `:`, as kubectl accepts them."""
    return cluster.kubeconfig or os.environ.get(VARIABLE) or DEFAULT


def content(cluster: Cluster) -> object:
    """The content of the kubeconfig, if the setting has the content instead of a path. The provider accepts both."""
    given = cluster.kubeconfig or ""
    if "\n" in given or given.lstrip().startswith("{"):
        return documents.parse(Path(f"{PROJECT}:cluster.kubeconfig"), given).content
    return None


def for_provider(cluster: Cluster) -> str | None:
    """The provider's argument. It is empty for several files: the provider then merges them itself, as kubectl does."""
    return "" if cluster.kubeconfig is None and len(_paths(location(cluster))) > 1 else cluster.kubeconfig


def check(cluster: Cluster, *, needed: bool) -> None:
    """Check that the kubeconfig has a context with a cluster.

    Args:
        cluster: The settings of the cluster.
        needed: Whether a kubeconfig must exist. A preview works without one, unless one is configured.

    Raises:
        pulumi.RunError: With the reason and the fix. It is shown without a traceback.
    """
    try:
        message = next(_errors(cluster, needed=needed), None)
    except DocumentError as error:
        message = f"the kubeconfig {error}"
    if message:
        raise pulumi.RunError(message)


def _errors(cluster: Cluster, *, needed: bool) -> Iterator[str]:
    kubeconfigs = list(_read(cluster))
    if not kubeconfigs:
        if cluster.kubeconfig:
            yield f"{PROJECT}:cluster.kubeconfig is {cluster.kubeconfig}, which does not exist; {FIX}"
        elif path := os.environ.get(VARIABLE):
            yield f"{VARIABLE} is {path}, which does not exist; {FIX}"
        elif needed and not TOKEN.exists():
            yield f"there is no kubeconfig: {VARIABLE} is not set, and {DEFAULT} does not exist; {FIX}"
        return
    where = ", ".join(str(item.file) for item in kubeconfigs)
    contexts = {name: entry.get("context") for item in kubeconfigs for name, entry in _entries(item, "contexts")}
    current = cluster.context or next(filter(None, map(_current, kubeconfigs)), None)
    if current is None:
        yield f"{where}: there is no current context; set {PROJECT}:cluster.context to {_one_of(contexts)}"
    elif current not in contexts:
        key = f"{PROJECT}:cluster.context" if cluster.context else "current-context"
        yield f'{where}: {key} is "{current}", which is not a context of this kubeconfig; choose {_one_of(contexts)}'
    else:
        context = contexts[current]
        name = context.get("cluster") if isinstance(context, dict) else None
        if name not in {name for item in kubeconfigs for name, _ in _entries(item, "clusters")}:
            yield f'{where}: context "{current}" refers to a cluster that is not under `clusters`; correct it'


def _read(cluster: Cluster) -> Iterator[Document]:
    """The files that exist. Missing files are skipped, as kubectl does."""
    if (given := content(cluster)) is not None:
        yield Document(Path(f"{PROJECT}:cluster.kubeconfig"), given)
        return
    for path in _paths(location(cluster)):
        file = Path(path).expanduser()
        if file.exists():
            document, _ = documents.read_mapping(file)
            yield document


def _paths(text: str) -> Sequence[str]:
    return [path for path in text.split(os.pathsep) if path]


def _current(document: Document) -> str | None:
    content = document.content
    return content.get("current-context") if isinstance(content, dict) else None


def _entries(document: Document, key: str) -> Iterator[tuple[str, dict[str, object]]]:
    """The named entries of a list in a kubeconfig."""
    content = document.content if isinstance(document.content, dict) else {}
    entries = content.get(key) or []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and "name" in entry:
            yield str(entry["name"]), entry


def _one_of(contexts: dict[str, object]) -> str:
    return f"one of {', '.join(contexts)}" if contexts else "one; the file has none"
