"""Names of Redis keys: BullMQ's layout, and where our own additions live.

BullMQ deletes keys it does not know under ``<prefix>:<queue>:``, so everything of ours is outside, under
``<prefix>-crewline:<queue>:``. Both are in one hash slot if the prefix or the queue's name carries a hash tag.
"""

from __future__ import annotations

from dataclasses import dataclass

from crewline.errors import InvalidOption

#: The suffixes that scripts get as KEYS, in this order (scripts/lib/base/keys.lua names them).
DECLARED = (
    "id", "wait", "active", "prioritized", "delayed", "completed", "failed", "marker", "meta", "events",
    "stalled", "limiter", "pc", "paused", "waiting-children",
)  # fmt: skip

#: What BullMQ or we keep at ``<base><suffix>`` beside jobs' hashes. A job with such an id would take the key's place,
#: or lose its own to whoever deletes the key.
RESERVED = frozenset((*DECLARED, "repeat", "stalled-check", "metrics", "de", "dn", "priority"))


def is_job_id(job_id: str) -> bool:
    """Whether a job can have that id: ``<base><id>`` is no key of the queue's own.

    An iteration of a schedule, ``repeat:<schedule>:<ms>``, has one with ':'; nothing else that is known does.
    """
    if job_id in RESERVED or not job_id:
        return False
    first, _, rest = job_id.partition(":")
    return not rest or first not in RESERVED or (first == "repeat" and ":" in rest)


def check_queue_name(name: object) -> str:
    """Returns ``name`` if it can name a queue, else raises InvalidOption."""
    if not isinstance(name, str) or not name:
        raise InvalidOption(f"queue name {name!r} must be a string that is not empty: give the queue a name")
    if ":" in name:
        raise InvalidOption(f"queue name {name!r} must not contain ':' (it parts Redis keys): use '-' or '.' instead")
    return name


@dataclass(frozen=True)
class Keys:
    """The keys of one queue.

    Args:
        prefix: BullMQ's key prefix; ``bull`` unless the whole fleet says otherwise.
        queue: the queue's name, without ``:``.
    """

    prefix: str
    queue: str

    def __post_init__(self) -> None:
        check_queue_name(self.queue)
        if not self.prefix:
            raise InvalidOption("prefix must not be empty: leave it out for BullMQ's default, 'bull'")

    @property
    def base(self) -> str:
        return f"{self.prefix}:{self.queue}:"

    def __getattr__(self, name: str) -> str:
        # wait, active, prioritized, delayed, completed, failed, marker, meta, events, …
        if name in DECLARED:
            return self.base + name
        raise AttributeError(name)

    @property
    def stalled_check(self) -> str:
        return self.base + "stalled-check"

    @property
    def waiting_children(self) -> str:
        return self.base + "waiting-children"

    def job(self, job_id: str) -> str:
        """The key of a job's hash."""
        return self.base + job_id

    def extra(self, suffix: str) -> str:
        """A key of our own for this queue, where no BullMQ client touches it."""
        return f"{self.prefix}-crewline:{self.queue}:{suffix}"

    def declared(self) -> tuple[str, ...]:
        """All keys that scripts declare, in their order."""
        return tuple(self.base + suffix for suffix in DECLARED)
