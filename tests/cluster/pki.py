"""The certificates of one cluster, and a kubeconfig for each of its clients.

Made anew with every cluster and valid for a month: a throw-away cluster does not live that long.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from tests.cluster.shell import run

NODE_NAME = "node"
NODE_IP = "10.77.0.1"
SERVICE_NETWORK = "10.96.0.0/16"
_API_SERVICE_IP = "10.96.0.1"
_DAYS = "30"

_API_NAMES = (
    "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,"
    f"DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:{_API_SERVICE_IP},IP:{NODE_IP}"
)

#: name: (authority, subject, extended key usage, subject alternative names)
_CERTIFICATES = {
    "apiserver": ("ca", "/CN=kube-apiserver", "serverAuth", _API_NAMES),
    "apiserver-kubelet": ("ca", "/O=system:masters/CN=apiserver-kubelet-client", "clientAuth", ""),
    "kubelet-serving": ("ca", f"/CN={NODE_NAME}", "serverAuth", f"DNS:{NODE_NAME},IP:{NODE_IP},IP:127.0.0.1"),
    "front-proxy-client": ("front-proxy-ca", "/CN=front-proxy-client", "clientAuth", ""),
    "admin": ("ca", "/O=system:masters/CN=admin", "clientAuth", ""),
    "kubelet": ("ca", f"/O=system:nodes/CN=system:node:{NODE_NAME}", "clientAuth", ""),
    "controller-manager": ("ca", "/CN=system:kube-controller-manager", "clientAuth", ""),
    "scheduler": ("ca", "/CN=system:kube-scheduler", "clientAuth", ""),
    "proxy": ("ca", "/CN=system:kube-proxy", "clientAuth", ""),
}
_CLIENTS = ("admin", "kubelet", "controller-manager", "scheduler", "proxy")


def create(folder: Path, *, api_url: str) -> None:
    """Write all keys, certificates and the components' kubeconfigs (`<client>.conf`) into a folder."""
    folder.mkdir(mode=0o700, parents=True)
    for name in ("ca", "front-proxy-ca"):
        _authority(folder, name)
    for name in _CERTIFICATES:
        _certificate(folder, name)
    run(["openssl", "genrsa", "-out", folder / "sa.key", "2048"])
    run(["openssl", "rsa", "-in", folder / "sa.key", "-pubout", "-out", folder / "sa.pub"])
    for name in _CLIENTS:
        write_kubeconfig(folder / f"{name}.conf", pki=folder, client=name, api_url=api_url)


def write_kubeconfig(path: Path, *, pki: Path, client: str, api_url: str, name: str = "crewline") -> None:
    """Write a kubeconfig that names the client's certificate files."""
    certificate, key = f"{pki}/{client}.crt", f"{pki}/{client}.key"
    path.write_text(
        textwrap.dedent(f"""\
        apiVersion: v1
        kind: Config
        clusters: [{{name: {name}, cluster: {{server: "{api_url}", certificate-authority: "{pki}/ca.crt"}}}}]
        users: [{{name: {client}, user: {{client-certificate: "{certificate}", client-key: "{key}"}}}}]
        contexts: [{{name: {name}, context: {{cluster: {name}, user: {client}}}}}]
        current-context: {name}
        """)
    )
    path.chmod(0o600)


def _authority(folder: Path, name: str) -> None:
    run([
        "openssl", "req", "-x509", *_new_key(folder, name), "-out", folder / f"{name}.crt", "-days", _DAYS,
        "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    ])  # fmt: skip


def _certificate(folder: Path, name: str) -> None:
    authority, subject, usage, names = _CERTIFICATES[name]
    request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
    run(["openssl", "req", *_new_key(folder, name), "-out", request, "-subj", subject])
    lines = ["keyUsage=critical,digitalSignature", f"extendedKeyUsage={usage}"]
    if names:
        lines.append(f"subjectAltName={names}")
    extensions.write_text("\n".join(lines) + "\n")
    run([
        "openssl", "x509", "-req", "-in", request, "-CA", folder / f"{authority}.crt",
        "-CAkey", folder / f"{authority}.key", "-CAcreateserial", "-days", _DAYS,
        "-out", folder / f"{name}.crt", "-extfile", extensions,
    ])  # fmt: skip
    request.unlink()
    extensions.unlink()


def _new_key(folder: Path, name: str) -> list[str]:
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    return [*curve, "-keyout", str(folder / f"{name}.key")]
