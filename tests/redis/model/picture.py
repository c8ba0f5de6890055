"""What Redis holds, read in one go and sorted by what it is: each queue's jobs, their places, their parts."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crewline.wire.keys import DECLARED, Keys
from crewline.wire.text import text
from redis.asyncio import Redis

#: What a job may have beside its hash.
PARTS = ("lock", "logs", "dependencies", "processed", "failed", "unsuccessful")
#: Lists and sorted sets that hold ids: the states.
STATES = ("wait", "paused", "prioritized", "delayed", "active", "completed", "failed", "waiting-children")
ENDED = ("completed", "failed")
#: What on_failure is on the wire, for a parent that does not wait on for a failed child.
RELEASING = ("fpof", "cpof", "idof", "rdof")

_READ = """
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, held = redis.call('TYPE', key).ok, false
  if kind == 'string' then held = redis.call('GET', key)
  elseif kind == 'list' then held = redis.call('LRANGE', key, 0, -1)
  elseif kind == 'set' then held = redis.call('SMEMBERS', key)
  elseif kind == 'zset' then held = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'hash' then held = redis.call('HGETALL', key) end
  all[#all + 1] = { key, kind, redis.call('PTTL', key), held }
end
return all
"""


#: Behind a root's key: what all jobs of a tree wait for that is added in parts.
HOLD = ":adding"


@dataclass(frozen=True)
class JobKey:
    """A job by its queue and id; its text is the key of its hash."""

    queue: str
    id: str

    def __str__(self) -> str:
        return f"{self.queue}/{self.id}"


@dataclass
class QueuePicture:
    """One queue. `ttl` has milliseconds by suffix, for what has a time to live."""

    name: str
    base: str
    jobs: dict[str, dict[str, str]] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    parts: dict[str, dict[str, Any]] = field(default_factory=lambda: defaultdict(dict))
    plain: dict[str, Any] = field(default_factory=dict)
    dedup: dict[str, str] = field(default_factory=dict)
    kept_last: dict[str, dict[str, str]] = field(default_factory=dict)
    schedules: dict[str, dict[str, str]] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    ttl: dict[str, int] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    @property
    def meta(self) -> dict[str, str]:
        found: dict[str, str] = self.plain.get("meta", {})
        return found

    @property
    def paused(self) -> bool:
        return "paused" in self.meta

    def state(self, job_id: str) -> str:
        return next(iter(self.places.get(job_id, ())), "none")

    def part(self, job_id: str, part: str) -> Any:
        """What a job has beside its hash, None if it has no such part."""
        return self.parts.get(job_id, {}).get(part)

    def unfinished(self, job_id: str) -> bool:
        return job_id in self.jobs and self.state(job_id) not in (*ENDED, "none")

    def within(self, *states: str) -> list[str]:
        return [job_id for job_id, found in self.places.items() if set(found) & set(states)]

    @property
    def at_concurrency(self) -> bool:
        bound = self.meta.get("concurrency")
        return bound is not None and len(self.plain.get("active", ())) >= int(bound)

    def head_due(self) -> int | None:
        """When the first delayed job is due, epoch ms."""
        scores = list(self.plain.get("delayed", {}).values())
        return int(min(scores) // 4096) if scores else None


@dataclass
class Picture:
    """All queues by name, at `now_ms` of the test's clock."""

    queues: dict[str, QueuePicture]
    now_ms: int
    strange: list[str]

    def jobs(self) -> Iterator[tuple[JobKey, dict[str, str]]]:
        for queue in self.queues.values():
            for job_id, fields in queue.jobs.items():
                yield JobKey(queue.name, job_id), fields

    def jobs_as_they_are(self) -> list[Any]:
        """All that jobs consist of, to compare."""
        return [
            (
                queue.jobs,
                queue.places,
                queue.parts,
                queue.dedup,
                queue.kept_last,
                queue.schedules,
                queue.plain.get("repeat"),
            )
            for queue in self.queues.values()
        ]

    def find(self, key: str) -> JobKey | None:
        """The job whose hash has that full key, whether there is one or not."""
        for queue in self.queues.values():
            if key.startswith(queue.base):
                return JobKey(queue.name, key[len(queue.base) :])
        return None

    def job(self, key: JobKey | None) -> dict[str, str] | None:
        return None if key is None else self.queues[key.queue].jobs.get(key.id)

    def state(self, key: JobKey) -> str:
        return self.queues[key.queue].state(key.id)

    def children(self, parent: JobKey) -> list[str]:
        """Full keys of all that a job's parts name as its children."""
        parts = self.queues[parent.queue].parts.get(parent.id, {})
        return [child for part in PARTS[2:] for child in parts.get(part, ())]


def _pairs(flat: list[Any]) -> dict[str, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _held(kind: str, raw: Any) -> Any:
    if not isinstance(raw, list):
        return None if raw is None else text(raw)
    told = [text(item) for item in raw]
    if kind == "zset":
        return {member: float(score) for member, score in _pairs(told).items()}
    return _pairs(told) if kind == "hash" else told


async def take(redis: Redis, prefix: str, names: tuple[str, ...], now_ms: int, ignored: str) -> Picture:
    """Reads all that Redis holds; ``ignored`` is the test's own key."""
    queues = {name: QueuePicture(name, Keys(prefix, name).base) for name in names}
    strange: list[str] = []
    for raw_key, raw_kind, ttl, raw in await redis.eval(_READ, 0):
        key, held = text(raw_key), _held(text(raw_kind), raw)
        space, _, rest = key.partition(":")
        name, _, suffix = rest.partition(":")
        queue = queues.get(name)
        if key == ignored:
            continue
        if queue is None or space not in (prefix, f"{prefix}-crewline"):
            strange.append(key)
            continue
        queue.keys.append(key)
        if ttl >= 0:
            queue.ttl[suffix] = ttl
        if space != prefix:
            queue.own[suffix] = held
        else:
            _sort_in(queue, suffix, held)
    return Picture(queues, now_ms, strange)


def _sort_in(queue: QueuePicture, suffix: str, held: Any) -> None:
    first, _, rest = suffix.partition(":")
    owner, _, part = suffix.rpartition(":")
    if suffix in DECLARED or suffix in ("stalled-check", "repeat") or first == "metrics":
        queue.plain[suffix] = held
        for job_id in held if suffix in STATES else ():
            queue.places[job_id].append(suffix)
    elif first == "de":
        queue.dedup[rest] = held
    elif first == "dn":
        queue.kept_last[rest] = held
    elif owner and part in PARTS:
        queue.parts[owner][part] = held
    elif first == "repeat" and ":" not in rest:
        queue.schedules[rest] = held
    else:
        queue.jobs[suffix] = held if isinstance(held, dict) else {}


def link_of(fields: dict[str, str]) -> dict[str, Any]:
    """What a child says of its parent."""
    try:
        link = json.loads(fields.get("parent", "{}"))
    except ValueError:
        return {}
    return link if isinstance(link, dict) else {}


def held_for(parts: dict[str, Any]) -> list[str]:
    """What a job waits for till all of its tree is there, as its parts tell."""
    return [child for child in parts.get("dependencies", ()) if child.endswith(HOLD)]


def is_suspect(fields: dict[str, str]) -> bool:
    """Whether a job was with a worker that died, and is to run apart from others next."""
    told = "suspect" in fields and "defa" not in fields
    return told and int(fields.get("tried", 0)) < int(fields["suspect"])
