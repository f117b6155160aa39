"""Which kubeconfig leads to the cluster, checked before anything connects with it.

The Kubernetes provider takes a path that it cannot open for the content of a kubeconfig, and answers with an error
about JSON (`parseKubeconfigString` in provider/pkg/provider/util.go of pulumi-kubernetes). Its SDK hands KUBECONFIG on
as one path, also where it names several files.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pulumi

from components.schema.application import Cluster
from components.schema.environment import PROJECT
from components.settings import documents
from components.settings.documents import Document, DocumentError

VARIABLE: Final = "KUBECONFIG"
DEFAULT: Final = "~/.kube/config"
TOKEN: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
"""What a pod has in place of a kubeconfig (the in-cluster configuration of client-go)."""

FIX: Final = f"set {VARIABLE} or {PROJECT}:cluster.kubeconfig to the path of a kubeconfig"


def location(cluster: Cluster) -> str:
    """The path of the kubeconfig, or several that `:` joins, as kubectl and the clients of Kubernetes take them."""
    return cluster.kubeconfig or os.environ.get(VARIABLE) or DEFAULT


def content(cluster: Cluster) -> object:
    """The content of the kubeconfig, if the setting holds that in place of a path, which the provider takes as well."""
    given = cluster.kubeconfig or ""
    if "\n" in given or given.lstrip().startswith("{"):
        return documents.parse(Path(f"{PROJECT}:cluster.kubeconfig"), given).content
    return None


def for_provider(cluster: Cluster) -> str | None:
    """What the provider is given: of several files nothing, so that it reads and merges them itself as kubectl does."""
    return "" if cluster.kubeconfig is None and len(_paths(location(cluster))) > 1 else cluster.kubeconfig


def check(cluster: Cluster, *, needed: bool) -> None:
    """Check that the kubeconfig leads to a cluster.

    Args:
        cluster: The settings of the cluster.
        needed: Whether there must be one. A preview works without, unless one is named.

    Raises:
        pulumi.RunError: It does not, with the reason and the fix; shown without a traceback.
    """
    try:
        problem = next(_problems(cluster, needed=needed), None)
    except DocumentError as error:
        problem = f"the kubeconfig {error}"
    if problem:
        raise pulumi.RunError(problem)


def _problems(cluster: Cluster, *, needed: bool) -> Iterator[str]:
    kubeconfigs = list(_read(cluster))
    if not kubeconfigs:
        if cluster.kubeconfig:
            yield f"{PROJECT}:cluster.kubeconfig names {cluster.kubeconfig}, which does not exist; {FIX}"
        elif given := os.environ.get(VARIABLE):
            yield f"{VARIABLE} names {given}, which does not exist; {FIX}"
        elif needed and not TOKEN.exists():
            yield f"there is no kubeconfig: {VARIABLE} is not set, and {DEFAULT} does not exist; {FIX}"
        return
    where = ", ".join(str(item.file) for item in kubeconfigs)
    contexts = {name: entry.get("context") for item in kubeconfigs for name, entry in _entries(item, "contexts")}
    current = cluster.context or next(filter(None, map(_current, kubeconfigs)), None)
    if current is None:
        yield f"{where}: no context is the current one; set {PROJECT}:cluster.context to {_one_of(contexts)}"
    elif current not in contexts:
        key = f"{PROJECT}:cluster.context" if cluster.context else "current-context"
        yield f'{where}: {key} is "{current}", and there is no such context; choose {_one_of(contexts)}'
    else:
        context = contexts[current]
        name = context.get("cluster") if isinstance(context, dict) else None
        if name not in {name for item in kubeconfigs for name, _ in _entries(item, "clusters")}:
            yield f'{where}: context "{current}" has no cluster that the file names under clusters; correct it'


def _read(cluster: Cluster) -> Iterator[Document]:
    """The files that exist, each a map. Of several, those that are missing are passed over, as kubectl does it."""
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
    """The named entries of a list of a kubeconfig."""
    content = document.content if isinstance(document.content, dict) else {}
    entries = content.get(key) or []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and "name" in entry:
            yield str(entry["name"]), entry


def _one_of(contexts: dict[str, object]) -> str:
    return f"one of {', '.join(contexts)}" if contexts else "one; the file has none"
