"""What a process is called in a Lease, and of whom it knows that it is no more."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable


def make_identity(pod: str, pod_uid: str) -> str:
    """Another one for each process: a process that starts anew in its pod is not taken for the one before it."""
    parts = [pod or socket.gethostname(), pod_uid or "outside", secrets.token_hex(4)]
    return "_".join(parts)


def has_ended_in(pod: str, pod_uid: str, identity: str) -> Callable[[str], bool]:
    """Tells whether a holder is an earlier process of this one's own container, which has ended since this one runs.

    A container's processes end with its first one, and the kubelet starts it again only then. Of other pods nobody can
    be as sure: one that the API server does not show any more may run on, on a node that is cut off.
    """
    if not pod_uid or not _is_first_in_container():
        return lambda _: False
    own = f"{pod}_{pod_uid}_"
    return lambda holder: holder.startswith(own) and holder != identity


def _is_first_in_container() -> bool:
    """Whether this process is the container's own, or what its init process has started: not one by `kubectl exec`."""
    return os.getpid() == 1 or os.getppid() == 1
