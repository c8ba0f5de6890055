"""A call that Redis carried out and whose answer was lost: its repeat finds what it did."""

from __future__ import annotations

from crewline import Queue
from crewline.redis.scripts import Fetched, Result
from crewline.wire.text import text


async def _fetch(queue: Queue, token: str, room: int, *results: Result, again: int = 0) -> Fetched:
    return await queue.scripts.finish_and_fetch(
        results, letters="", token=token, lease_ms=5000, worker="w", room=room, again=again
    )


def _ids(fetched: Fetched) -> list[str]:
    return [each.id for each in fetched.jobs]


async def test_a_repeated_fetch_brings_the_jobs_that_the_lost_answer_held(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    await _fetch(queue, "other", 1)
    lost = await _fetch(queue, "mine", 2)
    repeated = await _fetch(queue, "mine", 2, again=1)
    assert _ids(repeated) == _ids(lost) == ["2", "3"]
    assert (await queue.metrics()).active == 3
    assert await queue.redis.hget(queue.keys.job("2"), "ats") == b"1"


async def test_a_repeat_of_a_call_that_never_arrived_fetches_anew(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(2))
    assert _ids(await _fetch(queue, "mine", 2, again=1)) == ["1", "2"]


async def test_a_repeated_result_is_refused_and_changes_nothing(queue: Queue) -> None:
    job = await queue.add("n", 1, attempts=2, backoff=0)
    await _fetch(queue, "mine", 1)
    ended = Result(job.id, "mine", "completed", '"first"')
    assert (await _fetch(queue, "next", 0, ended)).codes == [0]
    assert (await _fetch(queue, "next", 0, ended, again=1)).codes == [-2]
    stored = await queue.get_job(job.id)
    assert stored is not None and (stored.return_value, stored.attempts_made) == ("first", 1)
    events = [text(entry[b"event"]) for _, entry in await queue.redis.xrange(queue.keys.events)]
    assert events.count("completed") == 1
