"""A worker follows the settings of its queue: what they say goes before what the worker was made with.

The heartbeat brings them (see presence.py), so that they need no connection and no call of their own.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable

from crewline.wire.settings import Settings, read_settings
from crewline.wire.text import bounded

log = logging.getLogger("crewline.worker")

#: Characters of what is told of a setting that can't be used.
REFUSED_MAX_CHARS = 300


class LiveSettings:
    """The settings that one worker has applied.

    Args:
        queue: the queue's name.
        apply: called with settings that are to be in force.

    Attributes:
        sha: SHA-1 of their text, '' for none.
        refused: what of them can't be used, and why.
    """

    def __init__(self, queue: str, apply: Callable[[Settings], None]) -> None:
        self._queue = queue
        self._apply = apply
        self._settings = Settings()
        self.sha = ""
        self.refused: list[str] = []

    @property
    def generation(self) -> int:
        """The generation that is applied; 0 if there are no settings."""
        return self._settings.generation

    def receive(self, stored: bytes) -> None:
        """Takes in what is stored now, '' for none; what is wrong with it is said once."""
        settings, wrong = read_settings(stored, self._settings) if stored else (Settings(), [])
        for error in wrong:
            log.warning(
                "queue %s: a setting of generation %d can't be used: %s; mend it with Queue.configure",
                self._queue, settings.generation, error,
            )  # fmt: skip
        self._apply(settings)
        # only now: what could not be applied comes again with the next beat
        # a beat tells them each second, whatever is quoted in them
        self._settings, self.refused = settings, [bounded(each, REFUSED_MAX_CHARS) for each in wrong]
        self.sha = hashlib.sha1(stored, usedforsecurity=False).hexdigest() if stored else ""
        log.info("queue %s: settings of generation %d are applied", self._queue, self.generation)
