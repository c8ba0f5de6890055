"""Waiting for a job's end: nobody waits for ever, and nothing stays behind of those who have gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import CrewlineError, FlowJob, InvalidOption, Job, JobFailed, JobNotFound, Queue
from crewline.queue import by_id, results
from crewline.queue.events import Batch
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError

from tests import redis_server


async def test_a_waiter_whose_time_is_over_leaves_nothing_behind(queue: Queue, until: Any) -> None:
    job = await queue.add("n", 1)
    ends = await asyncio.gather(*(job.result(timeout=0.05) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(end, TimeoutError) for end in ends)
    cancelled = asyncio.create_task(job.result())
    await until(_waiting(queue))
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert not queue._results._waiting


async def test_one_who_gives_up_takes_nothing_from_those_who_still_wait(queue: Queue, start_worker: Any) -> None:
    job = await queue.add("n", 7)
    others = [asyncio.create_task(job.result(timeout=20)) for _ in range(2)]
    with pytest.raises(TimeoutError, match=r"had not ended after 0\.05 s"):
        await job.result(timeout=0.05)

    async def handle(job: Job) -> Any:
        return job.data

    await start_worker(handle)
    assert await asyncio.gather(*others) == [7, 7]
    assert not queue._results._waiting


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "1"])
async def test_a_timeout_that_is_no_time_is_refused(queue: Queue, timeout: Any) -> None:
    job = await queue.add("n", 1)
    with pytest.raises(InvalidOption, match=r"timeout .* leave it out to wait for ever"):
        await job.result(timeout)


async def test_the_end_is_seen_though_its_event_was_trimmed_while_the_reader_was_away(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LOOK_SECONDS", 3600.0, raising=False)
    jobs = await queue.add_bulk([("good", 1), ("bad", 2, {"attempts": 1}), ("gone", 3)])
    waiting = [asyncio.create_task(job.result()) for job in jobs]
    await until(_waiting(queue, 3))
    reader = await _blocked_reader(queue)

    async with queue.redis.pipeline(transaction=True) as pipe:
        # what a worker does meanwhile, and the trimming, in one go with the break: no read comes between
        pipe.client_kill_filter(_id=reader)
        for job, state in ((jobs[0], queue.keys.completed), (jobs[1], queue.keys.failed)):
            pipe.lrem(queue.keys.wait, 1, job.id)
            pipe.zadd(state, {job.id: 1})
        pipe.hset(queue.keys.job(jobs[0].id), "returnvalue", "1")
        pipe.hset(queue.keys.job(jobs[1].id), "failedReason", "as told")
        pipe.lrem(queue.keys.wait, 1, jobs[2].id)
        pipe.delete(queue.keys.job(jobs[2].id))
        pipe.xtrim(queue.keys.events, maxlen=0, approximate=False)
        await pipe.execute()
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert ended[0] == 1
    assert isinstance(ended[1], JobFailed) and str(ended[1]) == "as told"
    assert isinstance(ended[2], JobNotFound)


async def test_nobody_waits_for_a_job_that_went_without_a_word(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LOOK_SECONDS", 0.0, raising=False)
    monkeypatch.setattr(by_id, "LOOK_SECONDS", 0.0, raising=False)
    job = await queue.add("n", 1)
    states: list[str] = []

    async def watch() -> None:
        async for update in job.watch():
            states.append(update.state)

    waiting, watching = asyncio.create_task(job.result()), asyncio.create_task(watch())
    await until(_waiting(queue))
    await _blocked_reader(queue, 2)
    await queue.pause()
    await queue.obliterate()
    # the stream went with the queue: what the next event is of does not matter
    await queue.redis.xadd(queue.keys.events, {"event": "resumed"})
    with pytest.raises(JobNotFound):
        await asyncio.wait_for(waiting, 20)
    await asyncio.wait_for(watching, 20)
    assert states == ["waiting", "removed"]
    await queue.redis.delete(queue.keys.events)


async def test_a_key_of_another_type_in_a_jobs_place_ends_the_waiting_for_that_job_alone(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LOOK_SECONDS", 0.0, raising=False)
    broken, job = await queue.add_bulk([("n", 1), ("n", 2)])
    waiting = [asyncio.create_task(each.result()) for each in (broken, job)]
    await until(_waiting(queue, 2))
    async with queue.redis.pipeline(transaction=True) as pipe:
        pipe.delete(queue.keys.job(broken.id))
        pipe.set(queue.keys.job(broken.id), "no hash")
        # its end is told by no event
        pipe.lrem(queue.keys.wait, 1, job.id)
        pipe.zadd(queue.keys.completed, {job.id: 1})
        pipe.hset(queue.keys.job(job.id), "returnvalue", '{"not": JSON')
        pipe.xadd(queue.keys.events, {"event": "resumed"})
        await pipe.execute()
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    # a result that is no JSON is the text that it is, as in an event
    assert isinstance(ended[0], JobNotFound) and ended[1] == '{"not": JSON'
    await queue.redis.delete(queue.keys.job(broken.id), queue.keys.wait)


async def test_what_another_client_wrote_for_progress_and_result_is_the_text_that_it_is(
    queue: Queue, until: Any
) -> None:
    job = await queue.add("n", 1)
    waiting = asyncio.create_task(job.result())
    await until(_waiting(queue))
    seen: list[Any] = []

    async def watch() -> None:
        async for update in job.watch():
            seen.append((update.state, update.progress))

    watching = asyncio.create_task(watch())
    await until(lambda: seen)
    for event in (
        {"event": "progress", "data": "50 %"}, {"event": "waiting-children", "prev": "active"},
        {"event": "completed", "returnvalue": "undefined"},
    ):  # fmt: skip
        await queue.redis.xadd(queue.keys.events, {**event, "jobId": job.id})
    assert await asyncio.wait_for(waiting, 20) == "undefined"
    await asyncio.wait_for(watching, 20)
    assert seen == [("waiting", 0), ("waiting", "50 %"), ("waiting-children", "50 %"), ("completed", "50 %")]


async def test_who_follows_with_a_password_that_holds_no_more_is_told_so(tmp_path: Path, until: Any) -> None:
    with redis_server.start(tmp_path) as server:
        async with Queue("emails", redis=server.url) as queue, Redis.from_url(server.url) as admin:
            job = await queue.add("n", 1)
            waiting = asyncio.create_task(job.result())
            await until(_waiting(queue))
            await _blocked_reader(queue)
            await admin.config_set("requirepass", "another")
            await admin.client_kill_filter(skipme=True)
            with pytest.raises(AuthenticationError):
                await asyncio.wait_for(waiting, 20)


async def test_a_flow_over_many_queues_opens_no_client_for_each(queue: Queue, start_worker: Any) -> None:
    children = [FlowJob("child", n, queue=f"other{n}") for n in range(12)]
    before = len(await queue.redis.client_list())
    root = await queue.add_flow(FlowJob("parent", children=children))
    for node in root.children:
        assert await node.job.state() == "waiting"
        assert node.job.queue_name == f"other{node.job.data}"

    async def handle(job: Job) -> Any:
        return job.data

    await start_worker(handle, "other3")
    # their results can be waited for, though they are in other queues
    assert await root.children[3].job.result(timeout=20) == 3
    assert all(node.job._queue.redis is queue.redis for node in root.children)
    await queue.close()
    async with Queue("emails", redis=queue.url) as looking:
        names = [client["name"] for client in await looking.redis.client_list()]
        assert names.count("crewline-events") == 0
        assert len(names) <= before + 8  # the worker's


async def test_the_timeout_holds_though_redis_is_silent() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    async with await asyncio.start_server(silent, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with Queue("emails", redis=f"redis://127.0.0.1:{port}/0", timeout_seconds=600) as queue:
            ends = [queue.wait_for_result("1", timeout=0.05) for _ in range(2)]
            for end in await asyncio.gather(*ends, return_exceptions=True):
                assert isinstance(end, TimeoutError) and "had not ended after" in str(end)
            assert not queue._results._waiting
        for writer in writers:
            writer.close()


async def test_whoever_waits_when_the_queue_is_closed_is_told_so_and_not_cancelled(queue: Queue, until: Any) -> None:
    closing = Queue("emails", redis=queue.url)
    job = await closing.add("n", 1)
    waits = [asyncio.create_task(job.result(timeout=60))]
    await until(lambda: closing._results._reader)
    # one that waits for its end, others that have only begun to
    waits += [asyncio.create_task(closing.wait_for_result(job.id)) for _ in range(5)]
    await asyncio.sleep(0)
    await closing.close()
    for end in await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 20):
        assert isinstance(end, CrewlineError) and "the queue was closed before the job had ended" in str(end)


async def test_one_who_begins_to_wait_while_the_queue_is_closed_leaves_no_reader(queue: Queue) -> None:
    closing = Queue("emails", redis=queue.url)
    job = await closing.add("n", 1)
    begun = asyncio.create_task(job.result(timeout=20))
    await asyncio.sleep(0)
    await closing.close()
    with pytest.raises(CrewlineError, match="the queue was closed"):
        await begun
    with pytest.raises(CrewlineError, match="the queue was closed"):
        await job.result(timeout=20)
    assert closing._results._reader is None


@pytest.mark.parametrize("denied", ["client|setname", "client"])
async def test_a_user_that_may_not_name_its_connections_hears_of_ends_too(
    queue: Queue, start_worker: Any, redis_url: str, denied: str
) -> None:
    await queue.redis.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", f"-{denied}")  # type: ignore[no-untyped-call]
    try:
        await start_worker(_same)
        async with Queue("emails", redis=redis_url.replace("//", "//plain:secret@")) as plain:
            job = await plain.add("n", 7)
            assert await job.result(timeout=20) == 7
            events = plain.events(after="0")
            assert (await asyncio.wait_for(anext(events), 20)).name == "added"
            await events.aclose()
    finally:
        await queue.redis.execute_command("ACL", "DELUSER", "plain")  # type: ignore[no-untyped-call]


async def _same(job: Job) -> Any:
    return job.data


def _waiting(queue: Queue, count: int = 1) -> Callable[[], bool]:
    return lambda: len(queue._results._waiting) >= count


async def _blocked_reader(queue: Queue, count: int = 1) -> str:
    """The id of the connection that waits for events."""
    while True:
        readers = [
            client["id"]
            for client in await queue.redis.client_list()
            if client["name"] == "crewline-events" and client["flags"] == "b"
        ]
        if len(readers) >= count:
            return readers[0]
        await asyncio.sleep(0.005)


async def test_the_result_of_a_job_that_went_at_its_end_is_found_in_the_events(
    queue: Queue, start_worker: Any, redis_url: str
) -> None:
    async def handle(job: Job) -> Any:
        return job.data

    await start_worker(handle)
    jobs = await queue.add_bulk(("n", number, {"remove_on_complete": True}) for number in range(30))
    assert [await job.result(timeout=20) for job in jobs] == list(range(30))
    # nobody waited when they ended
    async with Queue("emails", redis=redis_url) as later:
        assert [await later.wait_for_result(job.id, timeout=20) for job in jobs] == list(range(30))
        with pytest.raises(JobNotFound):
            await later.wait_for_result("never", timeout=20)


async def test_a_reader_that_is_behind_tells_no_end_of_an_earlier_run(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    fails = True

    async def handle(job: Job) -> str:
        if fails:
            raise ValueError("the first run")
        return "the second run"

    # a reader that is there, and has read nothing of what follows
    with pytest.raises(TimeoutError):
        await (await queue.add("n", 1, delay=60)).result(timeout=0.1)
    worker = await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed):
        await job.result(timeout=20)
    entries = await queue.redis.xrevrange(queue.keys.events, count=50)
    failed = next(entry for entry in entries if entry[1][b"event"] == b"failed")
    worker.pause()
    await job.retry()
    fails = False
    waiting = asyncio.create_task(job.result(timeout=20))
    await until(lambda: job.id in queue._results._waiting and queue._results._waiting[job.id].after)
    # the reader comes to it now
    waiter = queue._results._waiting[job.id]
    assert tuple(int(part) for part in failed[0].split(b"-")) <= waiter.after
    worker.resume()
    assert await waiting == "the second run"


async def test_a_reader_that_comes_to_the_end_of_an_earlier_run_before_the_job_was_looked_at_does_not_tell_it(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, read = True, asyncio.Event()
    batches, look = results.follow_batches, queue._results._look
    behind = asyncio.Event()

    async def slow(*arguments: Any) -> AsyncGenerator[Batch]:
        async with contextlib.aclosing(batches(*arguments)) as found:
            async for batch in found:
                await behind.wait()
                yield batch
                # it is asked for the next: this one was gone through
                if any(event.name == "failed" for event in batch.events):
                    read.set()

    async def late(job_ids: list[str]) -> None:
        if job.id in job_ids and not fails:
            behind.set()
            await asyncio.wait_for(read.wait(), 20)
        await look(job_ids)

    async def handle(job: Job) -> str:
        if fails:
            raise ValueError("the first run")
        return "the second run"

    monkeypatch.setattr(results, "follow_batches", slow)
    monkeypatch.setattr(queue._results, "_look", late)
    other = asyncio.create_task((await queue.add("n", 0, delay=60)).result())
    await _blocked_reader(queue)
    worker = await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)

    async def failed() -> bool:
        return await job.state() == "failed"

    await until(failed)
    worker.pause()
    await job.retry()
    fails = False
    waiting = asyncio.create_task(job.result(timeout=20))
    await asyncio.wait_for(read.wait(), 20)
    assert not waiting.done()
    worker.resume()
    assert await waiting == "the second run"
    other.cancel()


async def test_an_end_that_is_read_of_before_the_look_at_its_job_is_answered_is_told(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LOOK_SECONDS", 3600.0, raising=False)
    read, pipeline, batches = asyncio.Event(), queue.redis.pipeline, results.follow_batches

    async def noted(*arguments: Any) -> AsyncGenerator[Batch]:
        async with contextlib.aclosing(batches(*arguments)) as found:
            async for batch in found:
                yield batch
                if any(event.name == "completed" for event in batch.events):
                    read.set()

    @contextlib.asynccontextmanager
    async def slow(**options: Any) -> AsyncIterator[Any]:
        async with pipeline(**options) as pipe:
            execute = pipe.execute

            async def late(*arguments: Any, **options: Any) -> Any:
                found = await execute(*arguments, **options)
                worker.resume()
                await asyncio.wait_for(read.wait(), 20)
                return found

            pipe.execute = late
            yield pipe

    async def handle(job: Job) -> Any:
        return job.data

    worker = await start_worker(handle)
    worker.pause()
    job = await queue.add("n", 7)
    monkeypatch.setattr(results, "follow_batches", noted)
    monkeypatch.setattr(queue.redis, "pipeline", slow)
    assert await job.result(timeout=15) == 7
