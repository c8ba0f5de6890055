"""Containers that have ended, as the status of their pod tells. Pure.

One that ended is over for good: what is started in its place has another id. The status tells of the last two of a
place, since they may follow each other sooner than anybody looks.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.model.key import Object

#: Exit codes above it are those of a signal, as a shell has them.
SIGNALLED = 128
LINE_MAX_CHARS = 500


@dataclass(frozen=True)
class Ended:
    """A container that has ended."""

    id: str
    exit_code: int
    #: The kubelet's word for it.
    reason: str
    #: The last line of its message, or of its log.
    line: str
    #: By the clock of its node, in whole epoch seconds: it ended within the second after; None if that is not known.
    finished: float | None
    #: Whether nothing was started in its place yet.
    last: bool

    @property
    def is_oom(self) -> bool:
        """Whether it was killed for want of memory. The reason alone sticks to it once any process in it was."""
        return self.reason == "OOMKilled" and self.exit_code == SIGNALLED + signal.SIGKILL

    @property
    def how(self) -> str:
        """How it ended, in few words."""
        if self.is_oom:
            return "OOMKilled"
        try:
            name = f" ({signal.Signals(self.exit_code - SIGNALLED).name})"
        except ValueError:
            name = ""
        return f"exit code {self.exit_code}{name}"


def ended_containers(pod: Object, name: str) -> list[Ended]:
    """Those of a pod's containers of that name that have ended, the earlier one first."""
    return ended_in(container_status(pod, name))


def ended_in(status: Mapping[str, Any]) -> list[Ended]:
    """Those that the status of one of a pod's places for containers tells of, the earlier one first."""
    found = []
    for field in ("lastState", "state"):
        told = (status.get(field) or {}).get("terminated")
        if told:
            place = f"{status.get('name', '')}#{status.get('restartCount', 0)} {field}"
            found.append(
                Ended(
                    # One that the kubelet has lost has none.
                    id=told.get("containerID") or place,
                    exit_code=told.get("exitCode", 0),
                    reason=told.get("reason") or "",
                    line=last_line(told.get("message") or ""),
                    finished=_epoch_seconds(told.get("finishedAt")),
                    last=field == "state",
                )
            )
    return found


def container_status(pod: Object, name: str) -> Mapping[str, Any]:
    """What is told of a container; nothing before its first start."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((each for each in statuses if each.get("name") == name), {})


def last_line(text: str) -> str:
    """The last line that is not empty."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:LINE_MAX_CHARS] if lines else ""


def _epoch_seconds(told: object) -> float | None:
    try:
        return datetime.fromisoformat(told).timestamp() if isinstance(told, str) else None
    except ValueError:
        return None
