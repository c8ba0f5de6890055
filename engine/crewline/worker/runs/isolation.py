"""Runs suspects alone: jobs that were with a worker when it died.

All but one of them are innocent. With nothing beside it in the process, a job that takes its worker down again
tells on itself, and only such a death counts; BullMQ and others fail the neighbours of a poison job for good.
"""

from __future__ import annotations

import asyncio
import logging

from crewline.redis.connection import UNAVAILABLE
from crewline.redis.scripts import Scripts
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.state import Run, State, result_of

log = logging.getLogger("crewline.worker")


class Isolator:
    """Gives one suspect at a time a worker of its own; the others go back for other workers to try."""

    def __init__(self, scripts: Scripts, state: State, executor: Executor) -> None:
        self._scripts = scripts
        self._state = state
        self._executor = executor

    def receive(self, run: Run) -> None:
        """Takes a suspect that was fetched."""
        state = self._state
        if state.suspects or (state.exclusive and state.running):
            state.settle(result_of(run, "back", ""))
            return
        state.suspects.append(run)
        state.exclusive = True
        state.rouse()
        state.changed.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        state = self._state
        while True:
            await state.changed.wait()
            state.changed.clear()
            if not state.suspects or state.running:
                continue
            run = state.suspects.popleft()
            log.warning("job %s of queue %s was with a worker that died: it runs alone", run.job.id, run.job.queue_name)
            if await self._mark(run):
                self._executor.start(run)
                if run.task:
                    await asyncio.wait({run.task})
            state.exclusive = bool(state.suspects)
            state.wake()

    async def _mark(self, run: Run) -> bool:
        try:
            return await self._scripts.mark_alone(run.job.id, run.token)
        except UNAVAILABLE:
            # not run unmarked: a death now would not be counted
            self._state.settle(result_of(run, "back", ""))
            return False
