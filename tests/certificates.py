"""Certificates for tests of TLS: a CA of their own, a server's, a client's."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def write_certificates(folder: Path, name: str = "IP:127.0.0.1") -> None:
    """ca.crt, and redis.crt and client.crt with their keys, for a server of that name, valid for two days."""
    folder.mkdir(parents=True, exist_ok=True)
    _openssl(folder, "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test CA",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    (folder / "names").write_text(f"subjectAltName={name}\n")
    for each in ("redis", "client"):
        _openssl(folder, "req", *_KEY, "-keyout", f"{each}.key", "-out", f"{each}.csr", "-subj", f"/CN={each}")
        _openssl(folder, "x509", "-req", "-in", f"{each}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                 "-days", "2", "-out", f"{each}.crt", "-extfile", "names")  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
