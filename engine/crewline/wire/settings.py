"""Settings of a queue that its running workers follow without a restart.

They are one JSON object at ``<prefix>-crewline:<queue>:settings``, under the names of `Settings`::

    {"generation": 3, "concurrency": 20, "timeout_seconds": 60.0, "paused": false, "rate": [100, 1.0],
     "keep_completed": {"count": 1000, "age_seconds": 86400}, "keep_failed": {"age_seconds": 604800},
     "attempts": 3, "backoff": {"type": "exponential", "delay_seconds": 1.0, "jitter": 0.5}}

Whoever reads them takes each by itself: a newer writer's unknown names and one bad value keep none of the others from
being applied.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from crewline.errors import InvalidOption, InvalidPayload
from crewline.wire import jsonio
from crewline.wire.backoff import Backoff
from crewline.wire.checks import A_MILLISECOND, check_rate, check_seconds, is_number
from crewline.wire.checks import check_count as check_count
from crewline.wire.retention import Keep

#: Where they are, after the queue's own part of the key.
SETTINGS_KEY = "settings"


@dataclass(frozen=True)
class Settings:
    """What a queue's workers follow; None for what is each worker's own.

    Args:
        generation: the number that a worker tells of what it has applied; 0 if there are none.
        concurrency: jobs that each worker runs at once.
        timeout_seconds: the longest that a job may run which begins from then on.
        paused: whether Crewline's workers fetch nothing; `Queue.pause` stops BullMQ's too.
        rate: ``(jobs, seconds)`` over all workers.
        keep_completed, keep_failed: retention for jobs that do not bring their own.
        attempts, backoff: for jobs that were added without a word of either, by our producers or BullMQ's.

    Raises:
        InvalidOption: a value that can't be used; the message names it.
    """

    generation: int = 0
    concurrency: int | None = None
    timeout_seconds: float | None = None
    paused: bool | None = None
    rate: tuple[int, float] | None = None
    keep_completed: Keep | None = None
    keep_failed: Keep | None = None
    attempts: int | None = None
    backoff: Backoff | None = None

    def __post_init__(self) -> None:
        for name, check in _checks.items():
            value = getattr(self, name)
            if value is not None:
                check(value, name)

    def to_json(self) -> str:
        """As it is stored."""
        told: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("keep_completed", "keep_failed"):
            keep = told[name]
            told[name] = keep and {"count": keep.count, "age_seconds": keep.age_seconds}
        wait = self.backoff
        told["backoff"] = wait and {"type": wait.type, "delay_seconds": wait.delay, "jitter": wait.jitter}
        return jsonio.dumps({name: value for name, value in told.items() if value is not None}, "settings")


def read_settings(stored: str | bytes, before: Settings) -> tuple[Settings, list[str]]:
    """Settings as they are stored, and what is wrong with them.

    A bad value leaves what was in force ``before``.
    """
    try:
        told = jsonio.loads(stored, "the whole")
        if not isinstance(told, dict):
            raise InvalidPayload(f"the whole must be a JSON object, not {told!r:.80}")
    except InvalidPayload as error:
        return before, [str(error)]
    values: dict[str, Any] = {}
    wrong: list[str] = []
    for name, check in _checks.items():
        value = told.get(name)
        if value is None:
            continue
        try:
            values[name] = check(_readers.get(name, lambda value: value)(value), name)
        except InvalidOption as error:
            old = getattr(before, name)
            values[name] = old
            stays = "the worker's own" if old is None else repr(old)
            # a part of a value (a backoff's delay) does not know whose it is
            wrong.append(f"{'' if name in str(error) else f'{name}: '}{error}; {stays} stays")
    return Settings(**values), wrong


def _generation(value: object, name: str) -> int:
    return check_count(value, name, 0)


def _timeout(value: object, name: str) -> float:
    # a timedelta is nothing that JSON has
    return check_seconds(value if is_number(value) else repr(value), name, A_MILLISECOND)


def _truth(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} {value!r} must be true or false")
    return value


def _keep(value: object, name: str) -> Keep:
    if not isinstance(value, Keep):
        raise InvalidOption(
            f"{name} {value!r} must be Keep(count=1000, age_seconds=86400) or the like, in JSON an object of count and "
            "age_seconds, whole numbers of 0 or more"
        )
    return value


def _backoff(value: object, name: str) -> Backoff:
    if not isinstance(value, Backoff):
        raise InvalidOption(
            f"{name} {value!r} must be a Backoff such as Backoff('fixed', 5), in JSON an object of type, delay_seconds "
            "and jitter (0 to 1)"
        )
    return value


def _read_keep(value: Any) -> Any:
    known = isinstance(value, Mapping) and value.keys() <= {"count", "age_seconds"}
    return Keep(value.get("count"), value.get("age_seconds")) if known else value


def _read_backoff(value: Any) -> Any:
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return value
    delay, jitter = value.get("delay_seconds", 0), value.get("jitter", 0)
    if not is_number(delay) or not is_number(jitter):
        return value
    return Backoff(value["type"], delay, jitter, custom=value["type"] not in ("exponential", "fixed"))


_checks: Mapping[str, Callable[[Any, str], Any]] = {
    "generation": _generation, "concurrency": check_count, "timeout_seconds": _timeout, "paused": _truth,
    "rate": check_rate,
    "keep_completed": _keep, "keep_failed": _keep, "attempts": check_count, "backoff": _backoff,
}  # fmt: skip
_readers: Mapping[str, Callable[[Any], Any]] = {
    "keep_completed": _read_keep, "keep_failed": _read_keep, "backoff": _read_backoff,
}  # fmt: skip
