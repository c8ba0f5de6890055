"""Workers whose wall clocks are wrong: libfaketime, preloaded, with the monotonic clock left alone."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path
from typing import Any

from tests.chaos.faults.base import Fault, unsettled
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Scene

#: Below /usr: where Debian, Fedora and a build by hand put it.
FOLDERS = ("lib/*", "lib64", "lib", "local/lib")


def skewed(offset: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off by ``offset``, such as ``+1h``."""
    found = sorted(path for folder in FOLDERS for path in Path("/usr").glob(f"{folder}/faketime/libfaketime.so.1"))
    assert found, "no libfaketime: install it (Debian: apt-get install faketime)"
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }


class ClocksSkewed(Fault):
    name = "workers' clocks an hour off, both ways"
    twice_because = "never: time is Redis'"

    def environments(self) -> list[dict[str, str]] | None:
        return [skewed("+1h"), skewed("-1h")]

    def jobs(self, form: Form, scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [
            (data, {"delay": 1.0} if index % 4 == 0 else {})
            for index, (data, _) in enumerate(super().jobs(form, scene))
        ]

    async def inject(self, scene: Scene) -> None:
        # the clocks are wrong all the time; a worker dies on top, since its leases are what a clock could spoil
        scene.struck()
        await scene.pause_between()
        with contextlib.suppress(IndexError):
            victim = scene.victim()
            victim.send(signal.SIGKILL)
            await victim.wait()
            scene.struck(victim)
        await scene.mark()

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents if incident.pid for job_id in unsettled(ledger, incident)}
