"""The processes of the control plane and their command lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.certificates import Identity
from sandbox.folder import LOOPBACK, Folder
from sandbox.processes import Service

ETCD, ETCD_PEER = "etcd", "etcd-peer"
API_SERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
KWOK = "kwok"
STORAGE = "storage"

CONTROL_PLANE = (ETCD, API_SERVER, CONTROLLERS, SCHEDULER)  # dependencies first
SERVICES = (*CONTROL_PLANE, KWOK, STORAGE)
"""The processes of a sandbox with simulated nodes."""
PORTS = (ETCD, ETCD_PEER, API_SERVER, CONTROLLERS, SCHEDULER)

SERVICE_RANGE = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"  # the first address of the range

# Loading the CRDs is most of the API server's first start, during which its live heap is about 300 MiB, in 415 MiB of
# spans. It collects garbage seldom until it nears the limit; at the limit it does nothing else. A higher limit, set
# with Go's own variable, saves a third of its CPU time. The other processes are small and mostly idle; they collect
# garbage less often too where memory is no concern.
MEMORY_LIMIT_VARIABLE = "GOMEMLIMIT"
API_SERVER_MEMORY_LIMIT = "520MiB"
REAL_NODE_MEMORY_LIMIT = "560MiB"  # kubelet, kube-proxy, CoreDNS and the enforcer watch nearly everything

_NAMES = ("localhost", LOOPBACK)
_MASTERS = ("system:masters",)

ADMIN = "admin"
# etcd has its own certificate authority: clients of the API server must not be able to read every Secret in etcd.
ETCD_IDENTITIES = (Identity("etcd-server", "etcd", hosts=_NAMES), Identity("etcd-client", API_SERVER))
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")


def identities(address: str) -> tuple[Identity, ...]:
    """The certificates of the control plane, whose API server listens on an address."""
    return (
        Identity(API_SERVER, API_SERVER, hosts=(*_NAMES, address, KUBERNETES_SERVICE, *SERVICE_NAMES)),
        Identity(ADMIN, "sandbox-admin", _MASTERS),
        Identity(CONTROLLERS, "system:kube-controller-manager", hosts=_NAMES),
        Identity(SCHEDULER, "system:kube-scheduler", hosts=_NAMES),
        Identity(STORAGE, "sandbox-storage", _MASTERS),
    )


def url(port: int, address: str = LOOPBACK) -> str:
    """The URL of one of the servers."""
    return f"https://{address}:{port}"


def others_memory() -> Mapping[str, str]:
    """How processes other than the API server collect garbage."""
    return {"GOGC": "400" if MEMORY_LIMIT_VARIABLE in os.environ else "50"}


@dataclass(frozen=True)
class Plan:
    """The inputs of the command lines."""

    folder: Folder
    ports: Mapping[str, int]
    address: str = LOOPBACK
    """Where the API server listens. The other servers listen on the loopback address."""
    api_server_flags: tuple[str, ...] = ()
    memory_limit: str = API_SERVER_MEMORY_LIMIT

    def tool(self, name: str) -> Path:
        """The executable of a tool, by the link in the sandbox's folder."""
        return (self.folder.bin / name).resolve()

    def url(self, name: str) -> str:
        """The URL of a server."""
        return url(self.ports[name], self.address if name == API_SERVER else LOOPBACK)

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of a component. People use that of the admin."""
        return self.folder.kubeconfig if user == ADMIN else self.folder.pki / f"{user}.kubeconfig"

    def services(self) -> list[Service]:
        """The processes of the control plane, dependencies first."""
        return [self._etcd(), self._api_server(), self._controllers(), self._scheduler()]

    def service(self, name: str, inputs: tuple[Path, ...], *flags: str) -> Service:
        """A process that runs a tool."""
        limit = os.environ.get(MEMORY_LIMIT_VARIABLE, self.memory_limit)
        memory = {"GOGC": "400", MEMORY_LIMIT_VARIABLE: limit} if name == API_SERVER else others_memory()
        return Service(name, (str(self.tool(name)), *flags), memory, inputs, self.ports.get(name))

    def _pki(self, file: str) -> Path:
        return self.folder.pki / file

    def _etcd(self) -> Service:
        authority, certificate, key = (self._pki(f) for f in ("etcd-ca.crt", "etcd-server.crt", "etcd-server.key"))
        client = self.url(ETCD)
        peer = self.url(ETCD_PEER)
        return self.service(
            ETCD,
            (authority, certificate),
            "--name=sandbox",
            f"--data-dir={self.folder.etcd}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=sandbox={peer}",
            *(f"--{prefix}cert-file={certificate}" for prefix in ("", "peer-")),
            *(f"--{prefix}key-file={key}" for prefix in ("", "peer-")),
            *(f"--{prefix}trusted-ca-file={authority}" for prefix in ("", "peer-")),
            *(f"--{prefix}client-cert-auth=true" for prefix in ("", "peer-")),
            # The operating system decides when to write to disk. Data survives a stop and a crash of any process; only
            # a power failure can lose it. In return, a slow disk does not slow down every request.
            "--unsafe-no-fsync=true",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=10m",
            "--logger=zap",
            "--log-level=warn",
        )

    def _api_server(self) -> Service:
        certificate, authority = self._pki(f"{API_SERVER}.crt"), self._pki("ca.crt")
        return self.service(
            API_SERVER,
            (certificate, authority, self._pki("etcd-client.crt"), self._pki("service-account.pub")),
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--secure-port={self.ports[API_SERVER]}",
            f"--tls-cert-file={certificate}",
            f"--tls-private-key-file={self._pki(f'{API_SERVER}.key')}",
            f"--client-ca-file={authority}",
            f"--etcd-servers={self.url(ETCD)}",
            f"--etcd-cafile={self._pki('etcd-ca.crt')}",
            f"--etcd-certfile={self._pki('etcd-client.crt')}",
            f"--etcd-keyfile={self._pki('etcd-client.key')}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",  # in addition to the defaults, such as PodSecurity
            "--anonymous-auth=false",
            "--allow-privileged=true",  # as in most clusters: PodSecurity labels decide, per namespace
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={self._pki('service-account.pub')}",
            f"--service-account-signing-key-file={self._pki('service-account.key')}",
            "--profiling=false",
            *self.api_server_flags,
        )

    def _controllers(self) -> Service:
        return self.service(
            CONTROLLERS,
            (self.kubeconfig(CONTROLLERS), self._pki("ca.crt"), self._pki("service-account.pub")),
            *self._client_flags(CONTROLLERS),
            f"--root-ca-file={self._pki('ca.crt')}",
            f"--service-account-private-key-file={self._pki('service-account.key')}",
            "--use-service-account-credentials=true",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        )

    def _scheduler(self) -> Service:
        return self.service(SCHEDULER, (self.kubeconfig(SCHEDULER),), *self._client_flags(SCHEDULER))

    def _client_flags(self, name: str) -> tuple[str, ...]:
        return (
            f"--kubeconfig={self.kubeconfig(name)}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self.ports[name]}",
            f"--tls-cert-file={self._pki(f'{name}.crt')}",
            f"--tls-private-key-file={self._pki(f'{name}.key')}",
            "--leader-elect=false",
            "--profiling=false",
        )

    def client(self, name: str, module: str, *arguments: str) -> Service:
        """A process that runs a module of this package, which uses the API with the certificate of the storage."""
        files = (self._pki("ca.crt"), self._pki(f"{STORAGE}.crt"), self._pki(f"{STORAGE}.key"))
        argv = (sys.executable, "-m", module, self.url(API_SERVER), *(str(file) for file in files), *arguments)
        return Service(name, argv, {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}, files)
