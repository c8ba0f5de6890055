"""The client side: what producers, workers and operators do to the queues, through Crewline's own calls.

All calls are here and in `hands`, so that a changed signature is followed in one place.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from crewline import CrewlineError, FlowJob, FlowNode, Job, Keep, Queue
from crewline.queue.dead_letters import DeadLetters
from crewline.queue.housekeeping import WAITING
from redis.asyncio import Redis

from tests.redis.model import clock, picture
from tests.redis.model.picture import JobKey, Picture, QueuePicture

PREFIX = "bull"
#: Two queues of one slot that work for each other, and where their dead letters go.
QUEUES = ("mail", "side")
LETTERS = "dead"
ALL = (*QUEUES, LETTERS)

#: Bounds of the scripts that few jobs reach: text -> what stands in its place.
BOUNDS = {
    "local MOST_PASSED, PART = 500, 50": "local MOST_PASSED, PART = 2, 1",
    "local MOST_READ = 200000": "local MOST_READ = 700",
    "local MOST_READ = 100000": "local MOST_READ = 300",
    "local MOST_FREED = 32000000": "local MOST_FREED = 20",
    "local FEW = 5": "local FEW = 1",
    "local MOST_TIED = 50": "local MOST_TIED = 1",
    "math.floor(16000000 / (size + 1))": "math.floor(20 / (size + 1))",
    "redis.call('LRANGE', flow, 1, 300)": "redis.call('LRANGE', flow, 1, 6)",
    "redis.call('LLEN', flow) - 1, 240)": "redis.call('LLEN', flow) - 1, 6)",
}

#: How releases of Redis say that a user may not use a command in a script.
_DENIED = re.compile("can.t run this command|no permissions")

#: Which jobs a step may delete, given their state before it.
MayGo = Callable[[JobKey, str], bool]


class Wrong(AssertionError):
    """Something that must hold does not."""


def nothing_goes(key: JobKey, state: str) -> bool:
    return False


class World:
    """The queues of one Redis.

    Args:
        changes: text of the scripts -> what stands in its place: mutations, to see that the model finds them.
    """

    def __init__(self, url: str, changes: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(url, protocol=2)
        self.queues: dict[str, Queue] = {}
        for name in ALL:
            letters = LETTERS if name != LETTERS else ""
            queue = Queue(name, redis=self.redis, prefix=PREFIX, dead_letter_queue=letters)
            queue.scripts = clock.ClockedScripts(self.redis, queue.keys, BOUNDS | dict(changes or {}))
            queue.scripts.on_refused = lambda refused: self.refused.extend(refused)
            self.queues[name] = queue
        self.begin()

    def begin(self) -> None:
        """All anew: an empty Redis."""
        self.steps: list[str] = []
        self.may_go: MayGo = nothing_goes
        self.obliterated: str | None = None
        #: the queue of which all goes that waits, and what is kept until the end of that as well
        self.cleared: str | None = None
        #: what Redis refused of what scripts do beside their purpose
        self.refused: list[str] = []
        self._numbers = itertools.count(1)
        self.run(self.redis.flushall())
        self.run(clock.begin(self.redis))
        self.now = self.before = self.look()

    def close(self) -> None:
        self.run(self.redis.aclose())
        self._loop.close()

    def look(self) -> Picture:
        now_ms = self.run(clock.now_ms(self.redis))
        return self.run(picture.take(self.redis, PREFIX, ALL, now_ms, clock.CLOCK_KEY))

    def pick(self, queue: str, ref: str) -> str:
        """The id that is meant: itself, ``#n``, the n-th newest that nobody chose, or ``*n``, one that runs."""
        if ref[0] not in "#*":
            return ref
        found = self.now.queues[queue].within("active")
        if ref[0] == "#":
            found = [job_id for job_id in self.now.queues[queue].jobs if len(job_id) > 1 or job_id.isdigit()]
        found.sort(key=lambda job_id: (int(job_id) if job_id.isdigit() else 0, job_id), reverse=True)
        return found[int(ref[1:]) % len(found)] if found else "a"

    # -- what producers do

    def add(self, queue: str, options: dict[str, Any]) -> Any:
        self._replaces(queue, options)
        before = self.look().queues[queue]
        added = self.call(f"add to {queue}: {options}", lambda: self.queues[queue].add("job", {}, **options))
        if "dedup" in options:
            self._stands_for(queue, added)
            self._is_kept(queue, options, added, before)
        return added

    def add_bulk(self, queue: str, bulk: list[dict[str, Any]]) -> None:
        for options in bulk:
            self._replaces(queue, options)
        jobs = [("job", n, options) for n, options in enumerate(bulk)]
        self.call(f"add to {queue} in bulk: {bulk}", lambda: self.queues[queue].add_bulk(jobs))

    def add_flow(self, queue: str, root: FlowJob) -> None:
        # a debounced job of the flow may take the place of one that is delayed
        self.may_go = lambda key, state: state == "delayed"
        named = self.named(root)
        self.call(f"add to {queue} a flow: {_shown(named)}", lambda: self.queues[queue].add_flow(named))

    def schedule(self, queue: str, schedule: str, rhythm: dict[str, Any], rule: dict[str, Any], **options: Any) -> None:
        self.may_go = lambda key, state: key.queue == queue and key.id.startswith(f"repeat:{schedule}:")
        rule = dict(rule)
        for name in ("start", "end"):
            if f"{name}_minutes" in rule:
                seconds = self.now.now_ms / 1000 + 60 * rule.pop(f"{name}_minutes")
                rule[name] = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        self.call(
            f"schedule {schedule} of {queue}: {rhythm} {rule} {options}",
            lambda: self.queues[queue].schedule(schedule, "job", {}, **rhythm, **rule, **options),
        )

    def unschedule(self, queue: str, schedule: str) -> None:
        self.may_go = lambda key, state: key.queue == queue and key.id.startswith(f"repeat:{schedule}:")
        self.call(f"end schedule {schedule} of {queue}", lambda: self.queues[queue].schedules.remove(schedule))

    def _replaces(self, queue: str, options: dict[str, Any]) -> None:
        if "dedup" in options and options["dedup"].replace:
            self.may_go = lambda key, state: key.queue == queue and state == "delayed"

    def _stands_for(self, queue: str, added: Any) -> None:
        if isinstance(added, Job):
            found = self.look().queues[queue]
            # one that is gone stands for others as long as its id has its time
            stands = added.id in found.jobs or (not added.added and added.id in found.dedup.values())
            self.must(stands, f"a deduplicated add told of {added.id}, which does not exist")

    def _is_kept(self, queue: str, options: dict[str, Any], added: Any, before: QueuePicture) -> None:
        dedup = options["dedup"]
        kept, now = before.kept_last.get(dedup.id), self.look().queues[queue].kept_last.get(dedup.id)
        if dedup.keep_last_if_active and "job_id" not in options and isinstance(added, Job) and not added.added:
            newer = now is not None and kept is not None and now["jid"] != kept["jid"]
            self.must(kept is None or newer, f"a job came last, and an older one is kept for {dedup.id}: {now}")

    def named(self, job: FlowJob) -> FlowJob:
        options = {"job_id": f"f{next(self._numbers)}", **job.options}
        return dataclasses.replace(job, options=options, children=[self.named(child) for child in job.children])

    # -- what operators do

    def remove(self, queue: str, job_id: str, children: bool) -> None:
        tree = self._tree(JobKey(queue, job_id)) if children else {JobKey(queue, job_id)}
        self.may_go = lambda key, state: key in tree
        self.call(
            f"remove {queue}/{job_id}{' and its children' if children else ''}",
            lambda: self.queues[queue].remove(job_id, children=children),
        )

    def cancel(self, queue: str, job_id: str) -> None:
        self.may_end(queue, {job_id})
        self.on_queue(f"cancel {job_id}", queue, lambda q: q.cancel(job_id))

    def may_end(self, queue: str, ids: Collection[str]) -> None:
        """These may fail in this step without a worker: one goes that says so, and may prune what failed before it."""
        jobs = self.now.queues[queue].jobs
        gone = {job_id for job_id in ids if job_id in jobs and _counts_those_that_failed(jobs[job_id])}
        self.may_go = lambda key, state: key.queue == queue and (state == "failed" or key.id in gone)

    def clean(self, queue: str, state: str, older_than: int, limit: int | None) -> None:
        # a parent that waits for what is deleted comes to wait itself, and may go with the next batch
        places = (*(WAITING if state == "waiting" else (state,)), "waiting-children")
        self.may_go = lambda key, was: key.queue == queue and was in places
        self.call(
            f"clean {state} of {queue}, older than {older_than} s, at most {limit}",
            lambda: self.queues[queue].clean(state, older_than=older_than, limit=limit),
        )

    def drain(self, queue: str, delayed: bool) -> None:
        states = ("waiting-children", "wait", "paused", "prioritized", "delayed")[: 5 if delayed else 4]
        self.may_go = lambda key, state: key.queue == queue and state in states
        self.cleared = queue
        self.call(f"drain {queue}, delayed={delayed}", lambda: self.queues[queue].drain(delayed=delayed))

    def sweep(self, queue: str, state: str, keep: Keep) -> None:
        self.may_go = lambda key, was: key.queue == queue and was == state
        self.call(f"sweep {state} of {queue}: {keep}", lambda: self.queues[queue].scripts.sweep_jobs(state, keep, 10))

    def settle_flows(self, queue: str) -> None:
        self.may_go = lambda key, state: state == "waiting-children"
        self.call(f"settle flows of {queue}", lambda: self.queues[queue].settle_flows(older_than=0))
        left = self.look().queues[queue].own.get("flows")
        self.must(not left, f"flows of {queue} that are settled are still listed: {left}")

    def obliterate(self, queue: str, force: bool) -> None:
        # what is held of its trees in other queues goes as well
        self.may_go = lambda key, state: key.queue == queue or state == "waiting-children"
        self.cleared = queue
        answer = self.call(f"obliterate {queue}, force={force}", lambda: self.queues[queue].obliterate(force=force))
        self.obliterated = queue if answer is None else None

    def replay(self, which: int) -> None:
        waiting = sorted(self.now.queues[LETTERS].within("wait"))
        if not waiting:
            return
        letter = waiting[which % len(waiting)]
        for queue in QUEUES:
            # a letter says itself which queue it is of; it is refused at the other
            self.call(f"replay letter {letter} to {queue}", lambda q=queue: DeadLetters(self.queues[q]).replay(letter))

    def on_queue(self, told: str, queue: str, make: Callable[[Queue], Awaitable[Any]]) -> Any:
        """Any call that deletes nothing."""
        return self.call(f"{told} of {queue}", lambda: make(self.queues[queue]))

    def _tree(self, root: JobKey) -> set[JobKey]:
        found, left = {root}, [root]
        while left:
            for child in self.now.children(left.pop()):
                key = self.now.find(child)
                if key is not None and key not in found:
                    found.add(key)
                    left.append(key)
        return found

    # -- time, and how calls are made

    def pass_by(self, minutes: int) -> None:
        self.steps.append(f"{minutes} minutes pass")
        self.run(clock.pass_by(self.redis, minutes))

    def call(self, told: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Makes a call; a refusal is an answer, anything else that is raised is wrong."""
        try:
            answer = self.run(make())
        except CrewlineError as error:
            answer = error
        except Exception as error:
            self.steps.append(f"{told} -> {error!r}")
            raise Wrong(f"{told}: raised {error!r}\n{self.told()}") from error
        shown = answer.job.id if isinstance(answer, FlowNode) else answer
        self.steps.append(f"{told} -> {shown!r}")
        return answer

    def without(self, command: str, step: Callable[[], None]) -> None:
        """Takes a step as a user who may not use a command of Redis: where that is refused, nothing has changed."""
        before = self.look().jobs_as_they_are()
        self.run(self.redis.execute_command("ACL", "SETUSER", "default", f"-{command}"))
        try:
            step()
        except Wrong as wrong:
            if not _DENIED.search(str(wrong.__cause__)):
                raise
            self.steps[-1] += f", without {command}"
            self.may_go = nothing_goes
        else:
            before = None
            self.steps[-1] += f", which needs no {command}"
        finally:
            self.run(self.redis.execute_command("ACL", "SETUSER", "default", "+@all"))
        self.must(before in (None, self.look().jobs_as_they_are()), "what was refused has left traces")

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise Wrong(f"{otherwise}\n{self.told()}")

    def told(self, last: int = 30) -> str:
        """The last steps, for a message."""
        return "steps:\n" + "\n".join(f"  {n}. {step}" for n, step in list(enumerate(self.steps, 1))[-last:])

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._loop.run_until_complete(wait())


def _counts_those_that_failed(fields: Mapping[str, str]) -> bool:
    """Whether a job goes when it has failed, or may be the one too many: of those of one moment, any is."""
    keep = json.loads(fields.get("opts", "{}")).get("removeOnFail")
    return "count" in keep if isinstance(keep, dict) else keep is not None and keep is not False


def _shown(job: FlowJob) -> str:
    below = ", ".join(_shown(child) for child in job.children)
    where = f" in {job.queue}" if job.queue else ""
    return f"{job.options}{where} {job.on_failure}" + (f" [{below}]" if below else "")
