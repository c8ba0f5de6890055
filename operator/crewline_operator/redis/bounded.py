"""Reads values that anybody may have written, each up to a bound of bytes that is asked for before the value comes.

Where the operator expects a number a user of the same Redis may have put 500 MB, and it reads a thousand queues. So
nothing else here fetches a value: of a string comes its beginning, and of a hash those fields whose length, which is
asked for first, is within their bound. What is longer is known by its length alone.

Lists and sets are read by the number of their entries, streams one event at a time: an entry has no length that could
be asked for, and is bounded by the connection (answers.py).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from redis.asyncio import Redis

#: Bytes of what is read as a number.
NUMBER_MAX_BYTES = 32
#: Bytes of all fields that are fetched in one go, so that a pipeline for many queues stays far below what a connection
#: takes in: what one is given at most must be less.
FETCH_MAX_BYTES = 2**20
UNITS = ("bytes", "KiB", "MiB", "GiB")


@dataclass(frozen=True)
class TooLarge:
    """In the place of a value that was not fetched."""

    size: int

    def of(self, what: str) -> str:
        """What a status shows of it, in the one way for all."""
        return f"({what} too large to show: {shown_size(self.size)})"


#: A field's value, None where there is none.
Value = bytes | TooLarge | None


@dataclass(frozen=True)
class Fields:
    """Fields of a hash to read, and how many bytes of each there may be."""

    key: str
    most: Mapping[str, int]


def start_question(key: str, most: int) -> tuple[Any, ...]:
    """What to ask for the beginning of a string: a command as redis-py has it."""
    return "getrange", key, 0, most


def whole(start: bytes, most: int) -> Value:
    """The string whose beginning was asked for, None where there is none or an empty one."""
    # one byte more was asked for than there may be
    return TooLarge(len(start)) if len(start) > most else start or None


def known(value: Value) -> bytes | None:
    """A value that could be read, None for one that is too large to be what is looked for."""
    return value if isinstance(value, bytes) else None


async def read_fields(redis: Redis, asked: Sequence[Fields]) -> list[Sequence[Value]]:
    """The fields of hashes, in the order of `asked`; none of what is no hash, or may not be read.

    Raises what redis-py raises where Redis can't be reached.
    """
    if not asked:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for each in asked:
            for field in each.most:
                pipe.hstrlen(each.key, field)
        lengths = iter(await pipe.execute(raise_on_error=False))
    found: list[list[Value]] = []
    #: Of each hash, those to fetch.
    fetched: list[list[str]] = []
    sizes: list[int] = []
    for each in asked:
        sized = {field: size if is_size(size := next(lengths)) else 0 for field in each.most}
        found.append([TooLarge(size) if size > each.most[field] else None for field, size in sized.items()])
        fetched.append([field for field, size in sized.items() if 0 < size <= each.most[field]])
        sizes.append(sum(sized[field] for field in fetched[-1]))
    for few in _batches(sizes):
        async with redis.pipeline(transaction=False) as pipe:
            for index in few:
                pipe.hmget(asked[index].key, fetched[index])
            answers = await pipe.execute(raise_on_error=False)
        for index, answer in zip(few, answers, strict=True):
            if isinstance(answer, list):
                names = list(asked[index].most)
                for field, value in zip(fetched[index], answer, strict=True):
                    found[index][names.index(field)] = value
    return [tuple(each) for each in found]


async def read_strings(
    redis: Redis, keys: Sequence[str], most: int, most_of_all: int = FETCH_MAX_BYTES
) -> AsyncIterator[tuple[str, bytes]]:
    """Those strings that are there, may be read, and are within the bound, in the order of `keys`; not all at once.

    What would be more than `most_of_all` bytes together is left out. Raises what redis-py raises where Redis can't be
    reached.
    """
    if not keys:
        return
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.strlen(key)
        lengths = await pipe.execute(raise_on_error=False)
    sizes = [size if is_size(size) and size <= most else 0 for size in lengths]
    for few in _batches(sizes):
        most_of_all -= sum(sizes[index] for index in few)
        if most_of_all < 0:
            return
        async with redis.pipeline(transaction=False) as pipe:
            for index in few:
                # It may be longer by now.
                pipe.getrange(keys[index], 0, most - 1)
            answers = await pipe.execute(raise_on_error=False)
        for index, answer in zip(few, answers, strict=True):
            if isinstance(answer, bytes):
                yield keys[index], answer


def is_size(answer: Any) -> TypeGuard[int]:
    """Whether Redis has told a length, and not why it does not."""
    return isinstance(answer, int)


def shown_size(size: int) -> str:
    """A number of bytes as people read it."""
    number, unit = float(size), 0
    while number >= 1024 and unit < len(UNITS) - 1:
        number, unit = number / 1024, unit + 1
    return f"{number:.0f} {UNITS[unit]}" if unit == 0 or number >= 10 else f"{number:.1f} {UNITS[unit]}"


def _batches(sizes: Sequence[int]) -> Iterator[list[int]]:
    """The places of what is to be fetched, in few enough bytes at a time."""
    batch: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if not size:
            continue
        if batch and total + size > FETCH_MAX_BYTES:
            yield batch
            batch, total = [], 0
        batch.append(index)
        total += size
    if batch:
        yield batch
