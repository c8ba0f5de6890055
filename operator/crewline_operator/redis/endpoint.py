"""A Redis as the operator reaches it.

Its URL may carry a password, so it is kept out of logs, statuses and events: `Endpoint.shown` is what may be shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Endpoint:
    """One Redis database as the operator reaches it."""

    url: str = field(repr=False)
    #: host:port/db, without user and password.
    shown: str = field(compare=False)
    #: Changes with the Secret's value and tells nothing about it: its key, the Secret's uid, is random.
    secret_digest: str | None = field(default=None, compare=False)
