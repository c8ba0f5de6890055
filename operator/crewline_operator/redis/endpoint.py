"""A Redis as the operator reaches it.

Its URL may carry a password, so it is kept out of logs, statuses and events: `Endpoint.shown` is what may be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Certificate:
    """What a client shows of itself, as PEM: the same for the same content, whichever Secret holds it."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Endpoint:
    """One Redis database as the operator reaches it: equal ones share a client."""

    #: With user, password and CA, and without files.
    url: str = field(repr=False)
    #: host:port/db, or the URL of several servers, without user and password.
    shown: str = field(compare=False)
    #: Changes with what Secrets and ConfigMaps say of it, and tells nothing about that.
    secret_digest: str | None = field(default=None, compare=False)
    certificate: Certificate | None = None
