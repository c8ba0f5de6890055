"""Names of Redis keys: BullMQ's layout, and where our own additions live.

BullMQ deletes keys it does not know under ``<prefix>:<queue>:``, so everything of ours is outside, under
``<prefix>-crewline:<queue>:``. Both are in one hash slot if the prefix or the queue's name carries a hash tag.
"""

from __future__ import annotations

from dataclasses import dataclass

from crewline.errors import InvalidOption
from crewline.wire.checks import check_text

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


def check_queue_name(name: object, what: str = "queue name") -> str:
    """Returns ``name`` if it can name a queue, else raises InvalidOption."""
    name = check_text(name, what, "give the queue a name")
    if ":" in name:
        raise InvalidOption(f"{what} {name!r} must not contain ':' (it parts Redis keys): use '-' or '.' instead")
    return name


def check_prefix(prefix: object) -> str:
    """Returns ``prefix`` if keys can begin with it, else raises InvalidOption."""
    return check_text(prefix, "prefix", "leave it out for BullMQ's default, 'bull'")


def letters_queue(queue: str, said: str | None) -> str:
    """Where a queue's dead letters go, '' for nowhere; raises InvalidOption for what can't be such a place.

    Args:
        said: ``dead_letter_queue`` of whoever asks: ``<queue>-dlq`` if None, nowhere if ''.
    """
    check_queue_name(queue)
    if said is None:
        # letters about letters would have no end
        return "" if queue.endswith("-dlq") else f"{queue}-dlq"
    if said == queue:
        raise InvalidOption(f"dead_letter_queue {said!r} must not be the queue itself: name another, or leave it out")
    return check_queue_name(said, "dead_letter_queue") if said != "" else ""


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
        check_prefix(self.prefix)

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
