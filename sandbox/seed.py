"""CRDs that an API server finds at its first start.

Each CRD that is posted to a running API server makes it compute anew what it serves and how: seven seconds of CPU time
for all of ours. Those that it reads from etcd when it starts cost next to nothing.
"""

import base64
import datetime
import json
import uuid

from sandbox.client import Client, Json
from sandbox.cluster import with_digest

PREFIX = "/registry/apiextensions.k8s.io/customresourcedefinitions/"
"""Where the API server keeps them (its --etcd-prefix, group and resource)."""


def seed(etcd: Client, crds: list[Json]) -> None:
    """Write the CRDs, as established, to an etcd that has none yet: through its JSON gateway, `/v3`."""
    of_all = {"key": _base64(PREFIX), "range_end": _base64(PREFIX[:-1] + chr(ord("/") + 1))}
    if etcd.request("POST", "/v3/kv/range", of_all | {"count_only": True}).get("count"):
        return
    for crd in crds:
        pair = {"key": PREFIX + crd["metadata"]["name"], "value": json.dumps(established(crd))}
        etcd.request("POST", "/v3/kv/put", {key: _base64(value) for key, value in pair.items()})


def established(crd: Json) -> Json:
    """The CRD with what the API server adds to it until it serves it (apiextensions.k8s.io/v1)."""
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
    body = with_digest(crd)
    return body | {
        "metadata": body["metadata"] | created,
        "spec": crd["spec"] | {"names": accepted},
        "status": {"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored},
    }


def _base64(plain: str) -> str:
    return base64.b64encode(plain.encode()).decode()
