"""A CNI plugin that tells the enforcer of NetworkPolicies the address of a new pod, before the pod's containers start.

The API server learns an address about a second later than the pod's first process runs. The plugin comes last in the
chain of plugins, needs only the standard library, and runs as `python -IS cni_plugin.py`. It waits until the rules for
the pod are applied. (github.com/containernetworking/cni/blob/main/SPEC.md)
"""

import json
import os
import socket
import sys
import time

VERSIONS = ("0.4.0", "1.0.0")
SECONDS = 30.0
PAUSE_SECONDS = 0.05
TRY_AGAIN_LATER = 11  # the specification's code of an error
PLUGIN = "network-policies"


def main() -> int:
    """Do what the environment variable CNI_COMMAND says. Return the exit code."""
    configuration = json.load(sys.stdin)
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        answer: dict[str, object] = {"cniVersion": VERSIONS[-1], "supportedVersions": VERSIONS}
    elif command == "ADD":
        previous = configuration["prevResult"]
        pod = dict(pair.split("=", 1) for pair in os.environ["CNI_ARGS"].split(";"))
        address = previous["ips"][0]["address"].split("/")[0]
        if error := announce(configuration["socket"], address, pod["K8S_POD_UID"]):
            answer = {"cniVersion": configuration["cniVersion"], "code": TRY_AGAIN_LATER, "msg": error}
            sys.stdout.write(json.dumps(answer))
            return 1
        answer = {**previous, "cniVersion": configuration["cniVersion"]}
    else:  # DEL and CHECK
        return 0
    sys.stdout.write(json.dumps(answer))
    return 0


def announce(path: str, address: str, uid: str) -> str | None:
    """Tell the enforcer the address of a pod. Return an error, or None as soon as its rules are applied."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(SECONDS)
                client.connect(path)
                client.sendall(json.dumps({"address": address, "uid": uid}).encode() + b"\n")
                answer = client.makefile().readline().strip()
                return None if answer == "applied" else f"NetworkPolicies are not enforced: {answer or 'no answer'}"
        except OSError as error:  # the enforcer is starting
            if time.monotonic() > deadline:
                return f"the enforcer of NetworkPolicies does not answer at {path}: {error}"
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
