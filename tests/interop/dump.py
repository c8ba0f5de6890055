"""All that a queue has in Redis, as plain values that can be compared: times become steps of 100 s from the start."""

from __future__ import annotations

import json
import re
from typing import Any

from redis.asyncio import Redis

#: Milliseconds: delays in these tests are whole multiples of 1,000 s, and a test takes far less than half a step.
STEP_MS = 100_000

TIMES = {"timestamp", "processedOn", "finishedOn", "startDate"}
JSON_TEXTS = {"data", "opts", "returnvalue", "progress", "parent"}

#: Since when a job could run that was added for a moment: ours alone, which BullMQ passes over.
OURS = {"due"}

#: A moment in the id of a scheduled job.
MOMENT = re.compile(r"(?<=:)1[0-9]{12}\b")


async def dump(redis: Redis, prefix: str, queue: str, start_ms: float) -> dict[str, Any]:
    """The queue's keys without `<prefix>:<queue>:`, each with its type and content.

    Args:
        redis: a client that decodes replies.
        start_ms: epoch milliseconds that count as the start.
    """
    base = f"{prefix}:{queue}:"
    found = {}
    for key in sorted(await redis.keys(f"{base}*")):
        kind = await redis.type(key)
        found[key.removeprefix(base)] = (kind, await _content(redis, key, key.removeprefix(base), kind, start_ms))
    named: dict[str, Any] = _rename(found, prefix, start_ms)
    return named


async def lasting_keys(redis: Redis, queue: str) -> set[str]:
    """The keys of a queue, of its dead letters and of our additions to both that have no time to live.

    Others share this Redis, and what has a time to live may end between two looks.
    """
    found: set[str] = set()
    for name in (queue, f"{queue}-dlq"):
        for prefix in ("bull", "bull-crewline"):
            found |= {key for key in await redis.keys(f"{prefix}:{name}:*") if await redis.ttl(key) == -1}
    return found


def _rename(value: Any, prefix: str, start_ms: float) -> Any:
    """With the same prefix on both sides, and no moment in any id."""
    if isinstance(value, str):
        value = MOMENT.sub(lambda match: _when(float(match[0]), start_ms), value)
        return re.sub(rf"\b{prefix}:", "prefix:", value)
    if isinstance(value, dict):
        return {_rename(key, prefix, start_ms): _rename(item, prefix, start_ms) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rename(item, prefix, start_ms) for item in value)
    return value


async def _content(redis: Redis, key: str, name: str, kind: str, start_ms: float) -> Any:
    match kind:
        case "string":
            return await redis.get(key)
        case "list":
            return await redis.lrange(key, 0, -1)
        case "set":
            return sorted(await redis.smembers(key))
        case "zset":
            members = await redis.zrange(key, 0, -1, withscores=True)
            if name == "prioritized":
                return [(member, int(score)) for member, score in members]
            if name == "delayed":
                return [(member, _when(score / 4096, start_ms)) for member, score in members]
            # what ended in the same millisecond stands in the order of its name, which is nobody's decision
            return sorted((member, _when(score, start_ms) if score else 0) for member, score in members)
        case "hash":
            fields = await redis.hgetall(key)
            return {field: _field(field, value, start_ms) for field, value in fields.items() if field not in OURS}
        case "stream":
            return [_event(fields, start_ms) for _, fields in await redis.xrange(key)]
    raise AssertionError(f"{key} is a {kind}")


def _field(field: str, value: str, start_ms: float) -> Any:
    if field in TIMES:
        return _when(float(value), start_ms)
    if field in JSON_TEXTS:
        decoded = json.loads(value)
        if isinstance(decoded, dict):
            for key in TIMES & decoded.keys() | {"prevMillis"} & decoded.keys():
                decoded[key] = _when(decoded[key], start_ms)
        return decoded
    if field == "stacktrace":
        return f"{len(json.loads(value))} traces"
    return value


def _event(fields: dict[str, str], start_ms: float) -> dict[str, Any]:
    event: dict[str, Any] = dict(fields)
    if event["event"] == "delayed":
        event["delay"] = _when(float(event["delay"]), start_ms)
    for field in ("returnvalue", "data"):
        if field in event:
            event[field] = json.loads(event[field])
    return event


def _when(value: float, start_ms: float) -> str:
    return f"start + {round((value - start_ms) / STEP_MS) * STEP_MS // 1000} s"


def differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    """Where two dumps differ, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        lines = []
        for key in sorted(ours.keys() | theirs.keys()):
            path = f"{where}/{key}"
            if key not in ours:
                lines.append(f"{path}: only theirs: {theirs[key]!r}")
            elif key not in theirs:
                lines.append(f"{path}: only ours: {ours[key]!r}")
            else:
                lines += differences(ours[key], theirs[key], path)
        return lines
    if isinstance(ours, tuple) and isinstance(theirs, tuple) and ours[0] == theirs[0]:
        return differences(ours[1], theirs[1], where)
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [
            line
            for index, pair in enumerate(zip(ours, theirs, strict=True))
            for line in differences(*pair, f"{where}/{index}")
        ]
    return [] if ours == theirs else [f"{where}: ours {ours!r}, theirs {theirs!r}"]
