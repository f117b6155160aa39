"""CustomResourceDefinitions of other projects: preloaded into etcd, kept up to date through the API server.

Each CRD that is posted to a running API server makes it recompute everything that it serves: seven seconds of CPU time
for all of them. Those that it finds in etcd at its start cost next to nothing.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import uuid

from sandbox.client import Client, Json
from sandbox.manifests import served

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ETCD_PREFIX = "/registry/apiextensions.k8s.io/customresourcedefinitions/"
"""Where the API server stores them: its --etcd-prefix, group and resource."""
DIGEST = "sandbox.local/digest"  # annotation: identifies the content of the installed CRD

_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_ALL_RESOURCES = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def preload(etcd: Client, crds: list[Json]) -> None:
    """Write the CRDs, as established, to an etcd that has none yet, through its JSON gateway `/v3`."""
    all_keys = {"key": _base64(ETCD_PREFIX), "range_end": _base64(ETCD_PREFIX[:-1] + chr(ord("/") + 1))}
    if etcd.request("POST", "/v3/kv/range", all_keys | {"count_only": True}).get("count"):
        return
    for crd in crds:
        pair = {"key": ETCD_PREFIX + crd["metadata"]["name"], "value": json.dumps(established(crd))}
        etcd.request("POST", "/v3/kv/put", {key: _base64(value) for key, value in pair.items()})


def established(crd: Json) -> Json:
    """The CRD with the fields that the API server adds until it serves it (apiextensions.k8s.io/v1)."""
    names = crd["spec"]["names"]
    accepted = {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List"} | names
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    created = {"uid": str(uuid.uuid4()), "generation": 1, "creationTimestamp": now}
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version["name"] for version in crd["spec"]["versions"] if version["storage"]]
    body = _with_digest(crd)
    return body | {
        "metadata": body["metadata"] | created,
        "spec": crd["spec"] | {"names": accepted},
        "status": {"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored},
    }


def installed(client: Client) -> dict[str, Json]:
    """The metadata of the installed CRDs, by name."""
    items = client.request("GET", PATH, accept=_METADATA_ONLY)["items"] or []
    return {item["metadata"]["name"]: item["metadata"] for item in items}


def update(client: Client, crd: Json, present: Json | None) -> None:
    """Create a CRD, or replace it if its content differs. `present` is the metadata of the installed one."""
    body = _with_digest(crd)
    if not present:
        client.create(PATH, body)
    elif present.get("annotations", {}).get(DIGEST) != body["metadata"]["annotations"][DIGEST]:
        body["metadata"]["resourceVersion"] = present["resourceVersion"]
        client.request("PUT", f"{PATH}/{crd['metadata']['name']}", body)


def are_served(client: Client, crds: list[Json]) -> bool:
    """Whether the API server serves every custom resource."""
    groups = client.request("GET", "/apis", accept=_ALL_RESOURCES)["items"]
    found = {
        (group["metadata"]["name"], version["version"], resource["resource"])
        for group in groups
        for version in group["versions"]
        for resource in version.get("resources", [])
    }
    return found.issuperset(served(crds))


def _with_digest(crd: Json) -> Json:
    digest = hashlib.sha256(json.dumps(crd, sort_keys=True).encode()).hexdigest()
    annotations = crd["metadata"].get("annotations", {}) | {DIGEST: digest}
    return crd | {"metadata": crd["metadata"] | {"annotations": annotations}}


def _base64(plain: str) -> str:
    return base64.b64encode(plain.encode()).decode()
