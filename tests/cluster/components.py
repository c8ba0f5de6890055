"""The components of a node: what each is started with, where it says that it is well, and what has to be well before.

The API server's only door to the outside is a pair of socat processes: 127.0.0.1:<port> outside, a Unix socket,
127.0.0.1:6443 inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.paths import Layout
from tests.cluster.pki import NODE_IP, NODE_NAME, SERVICE_NETWORK

API_URL_INSIDE = "https://127.0.0.1:6443"
_ETCD_URL = "http://127.0.0.1:2379"


@dataclass(frozen=True)
class Component:
    """One process of the node."""

    name: str
    argv: list[str]
    #: Answers 200 once the component works; empty where health shows otherwise (health.py).
    health_url: str = ""
    inside: bool = True


def storage(layout: Layout, kube: Path) -> Iterator[Component]:
    """What the API server and the kubelet stand on."""
    # No packet leaves the namespace: a pull is refused at once instead of waiting for a name server that can't answer.
    no_registry = ["env", "HTTPS_PROXY=http://127.0.0.1:1", "HTTP_PROXY=http://127.0.0.1:1"]
    yield Component("containerd", [*no_registry, "containerd", "-c", f"{layout.data}/containerd.toml"])
    yield Component(
        "etcd",
        [
            str(kube), "etcd", "--data-dir", f"{layout.data}/etcd", "--unsafe-no-fsync",
            "--listen-client-urls", _ETCD_URL, "--advertise-client-urls", _ETCD_URL,
            "--listen-peer-urls", "http://127.0.0.1:2380",
        ],
        health_url=f"{_ETCD_URL}/health",
    )  # fmt: skip


def api(layout: Layout, kube: Path, port: int) -> Iterator[Component]:
    """The API server and its door."""
    pki = layout.pki
    yield Component(
        "apiserver",
        [
            str(kube), "apiserver", f"--etcd-servers={_ETCD_URL}", f"--advertise-address={NODE_IP}",
            "--secure-port=6443",
            f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
            f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
            f"--kubelet-client-key={pki}/apiserver-kubelet.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            # The node's name resolves nowhere: logs and exec go to its address.
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki}/sa.pub", f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
            f"--proxy-client-key-file={pki}/front-proxy-client.key",
            f"--audit-policy-file={layout.data}/audit.yaml", f"--audit-log-path={layout.audit}",
            # Of some minutes of tests all is kept, in one file.
            "--audit-log-maxsize=500",
        ],
        health_url=f"{API_URL_INSIDE}/readyz",
    )  # fmt: skip
    yield Component("door-inside", ["socat", f"UNIX-LISTEN:{layout.api_socket},fork", "TCP:127.0.0.1:6443"])
    yield Component(
        "door-outside",
        ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"UNIX-CONNECT:{layout.api_socket}"],
        inside=False,
    )


def controllers(layout: Layout, kube: Path) -> Iterator[Component]:
    """What makes objects into running pods with names and addresses."""
    pki = layout.pki
    yield Component(
        "controller-manager",
        [
            str(kube), "controller-manager", *_client(pki, "controller-manager"),
            f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt", f"--cluster-signing-key-file={pki}/ca.key",
            "--use-service-account-credentials", "--leader-elect=false",
            # The defaults, 15 s and 5 min, would make each autoscaling test wait that long.
            "--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-downscale-stabilization=10s",
        ],
        health_url="https://127.0.0.1:10257/healthz",
    )  # fmt: skip
    yield Component(
        "scheduler",
        [str(kube), "scheduler", *_client(pki, "scheduler"), "--leader-elect=false"],
        health_url="https://127.0.0.1:10259/healthz",
    )
    yield Component(
        "kubelet",
        [
            str(kube), "kubelet", f"--config={layout.data}/kubelet.yaml", f"--kubeconfig={pki}/kubelet.conf",
            f"--hostname-override={NODE_NAME}", f"--node-ip={NODE_IP}",
            f"--root-dir={layout.data}/kubelet", f"--cert-dir={layout.data}/kubelet-pki",
        ],
        health_url="http://127.0.0.1:10248/healthz",
    )  # fmt: skip
    yield Component(
        "proxy",
        [str(kube), "proxy", f"--config={layout.data}/proxy.yaml"],
        health_url="http://127.0.0.1:10256/healthz",
    )


def names(layout: Layout, dns: Path) -> Iterator[Component]:
    """DNS for the cluster's Services."""
    yield Component("dns", [str(dns), "-conf", f"{layout.data}/Corefile"])


def _client(pki: Path, name: str) -> list[str]:
    path = pki / f"{name}.conf"
    return [
        f"--kubeconfig={path}", f"--authentication-kubeconfig={path}", f"--authorization-kubeconfig={path}",
    ]  # fmt: skip
