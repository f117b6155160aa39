"""The configuration files of containerd, kubelet, kube-proxy and the network plugins of a node."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from sandbox.images.cluster import PAUSE
from sandbox.node import cgroups, cni_plugin, network
from sandbox.node.init import NAME
from sandbox.node.network import Network
from sandbox.node.requirements import CNI_PLUGINS, NEEDED_PLUGINS

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
REGISTRY_PORT = 5000

ANNOUNCEMENTS = "/run/network-policies.sock"
"""Where pods are announced to the enforcer of NetworkPolicies."""

_RUNC = "io.containerd.runc.v2"


def write(folder: Path, place: Network, pki: Path) -> Mapping[str, Path]:
    """Write the files below a folder; return the one of each program."""
    contents: Mapping[str, str] = {
        "containerd": _containerd(folder),
        "kubelet": json.dumps(_kubelet(place, pki), indent=2),
        "kube-proxy": json.dumps(_kube_proxy(place, pki), indent=2),
        "net.d/10-node.conflist": json.dumps(_plugins(), indent=2),
        "certs.d/_default/hosts.toml": _mirror(place),
        "resolv.conf": f"nameserver {network.DNS}\n",
    }
    for name, content in contents.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != content:
            file.write_text(content)
    _install_plugins(folder / "plugins")
    return {name: folder / name for name in contents}


def _install_plugins(folder: Path) -> None:
    """Put the distribution's network plugins and that of NetworkPolicies in one folder, as containerd expects them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NEEDED_PLUGINS:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(CNI_PLUGINS / name)
    command = shlex.join((sys.executable, "-IS", cni_plugin.__file__))
    own = folder / cni_plugin.PLUGIN
    own.write_text(f"#!/bin/sh\nexec {command}\n")
    own.chmod(0o755)


def _containerd(folder: Path) -> str:
    """Version 2 of the format, which containerd 1.6 (Debian 12), 1.7 and 2 read.

    `restrict_oom_score_adj`: without CAP_SYS_RESOURCE, runc cannot lower the score as kubelet wants it for the pause
    containers. AppArmor profiles would be loaded into the host's kernel.
    """
    return f"""version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{folder / "plugins"}"
    conf_dir = "{folder / "net.d"}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{folder / "certs.d"}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "{_RUNC}"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def _mirror(place: Network) -> str:
    """Every registry is replaced by the sandbox's own: nothing inside the node can reach another."""
    url = f"http://{place.host}:{REGISTRY_PORT}"
    return f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'


def _kubelet(place: Network, pki: Path) -> Mapping[str, object]:
    """A KubeletConfiguration (k8s.io/kubelet/config/v1beta1)."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.node,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.group(place.number),
        "failCgroupV1": False,  # since 1.35 kubelet refuses version 1 otherwise
        "failSwapOn": False,
        "seccompDefault": True,
        "clusterDNS": [network.DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": "/etc/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "serializeImagePulls": False,
        "maxParallelImagePulls": 4,
        "registerNode": True,
        # The disk and the memory are those of the whole machine.
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "2%", "imagefs.available": "2%"},
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }


def _kube_proxy(place: Network, pki: Path) -> Mapping[str, object]:
    """A KubeProxyConfiguration (k8s.io/kube-proxy/config/v1alpha1) that keeps the kernel's limits of conntrack."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(pki / "kube-proxy.kubeconfig")},
        "clusterCIDR": network.POD_RANGE,
        "hostnameOverride": NAME,
        "nodePortAddresses": [place.range],
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
    }


def _plugins() -> Mapping[str, object]:
    """The network plugins: one pair of interfaces per pod, addresses from the pod range, no masquerading.

    The last one waits until the NetworkPolicies of the pod are enforced.
    """
    allocation = {
        "type": "host-local",
        "ranges": [[{"subnet": network.POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/var/lib/cni/networks",
    }
    return {
        "cniVersion": "0.4.0",
        "name": "node",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": allocation},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": cni_plugin.PLUGIN, "socket": ANNOUNCEMENTS},
        ],
    }
