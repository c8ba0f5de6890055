"""A client's certificate and key where TLS asks for files: in memory, so that no key is ever on a disk.

They are read at each new connection, and so live as long as the client.
"""

from __future__ import annotations

import os
import re
import ssl
from types import TracebackType
from typing import Self

from crewline.redis.completed import Access, complete_url

from crewline_operator.redis.endpoint import Certificate, Endpoint

#: A certificate in PEM, by each of the names that OpenSSL knows for one.
CERTIFICATE = re.compile(rb"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)


class Opened:
    """An endpoint that is in use: `url` is what a client takes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._files: list[int] = []
        self.url = endpoint.url
        if endpoint.certificate is not None:
            chain, key = _write(self._files, endpoint.certificate)
            self.url = complete_url(endpoint.url, Access(ssl_certfile=chain, ssl_keyfile=key))

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_usable(certificate: Certificate) -> bool:
    """Whether a certificate and its key are what they should be, and belong together."""
    files: list[int] = []
    try:
        # a key with a pass phrase would be asked for on a terminal
        ssl.create_default_context().load_cert_chain(*_write(files, certificate), password="none")
    except (OSError, ValueError):
        return False
    finally:
        for file in files:
            os.close(file)
    return True


def certificates_in(bundle: bytes) -> str:
    """The certificates alone of a bundle, which may have their names between them, in any letters and encoding."""
    return "\n".join(found[0].decode(errors="replace") for found in CERTIFICATE.finditer(bundle))


def is_ca(pem: str) -> bool:
    """Whether a text holds certificates to check others with."""
    try:
        # what is not ASCII is not refused: ssl raises a TypeError
        return bool(pem) and pem.isascii() and ssl.create_default_context(cadata=pem) is not None
    except (OSError, ValueError):
        return False


def _write(files: list[int], certificate: Certificate) -> tuple[str, str]:
    paths = []
    for content in (certificate.chain, certificate.key):
        file = os.memfd_create("crewline-tls")
        files.append(file)
        with os.fdopen(file, "wb", closefd=False) as stream:
            stream.write(content)
        paths.append(f"/proc/self/fd/{file}")
    return paths[0], paths[1]
