"""What dashboards ask BullMQ for: our queues, jobs and workers answer as its own."""

from __future__ import annotations

from crewline import Queue

from tests.interop.peers import Peer, Remote, until
from tests.interop.play import our_worker


async def test_their_get_workers_lists_ours_by_name(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    async with our_worker(name, url, name="emails-7d4b9-x2k1"):
        await until(lambda: _listed(theirs, ["emails-7d4b9-x2k1"]), "our worker is listed")
        (found,) = await theirs("getWorkers")
        assert found["name"] == name  # what BullMQ calls so is the queue
        assert await theirs("getWorkersCount") == 1
    await until(lambda: _listed(theirs, []), "a stopped worker is not listed")


async def test_their_get_workers_lists_ours_beside_theirs_of_that_queue_only(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    await node.open("Worker", name, name="node-worker")
    await node.open("Worker", f"{name}-other", name="elsewhere")
    async with our_worker(name, url, name="one"), our_worker(name, url, name="two"):
        await until(lambda: _listed(theirs, ["node-worker", "one", "two"]), "all three are listed")


async def test_they_see_which_worker_of_ours_ran_a_job(node: Peer, name: str, url: str) -> None:
    theirs = await node.open("Queue", name)
    job = await theirs("add", "j", {}, {})
    async with our_worker(name, url, name="emails-7d4b9-x2k1"):
        await until(lambda: theirs.is_in("completed", job["id"]), "it completes")
    assert (await theirs.job(job["id"]))["processedBy"] == "emails-7d4b9-x2k1"


async def test_their_pages_list_our_jobs_of_every_state(node: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    fine = await queue.add("fine", {"returns": {"ok": 1}})
    bad = await queue.add("bad", {"reject": "no"})
    runs = await queue.add("runs", {"takesMs": 60_000})
    async with our_worker(name, url, concurrency=1, grace_seconds=0.1) as ours:
        await until(lambda: runs.id in ours.ids, "the third runs")
        waits, high, later = await queue.add_bulk(
            [("waits", {}), ("high", {}, {"priority": 4}), ("later", {}, {"delay": 60})]
        )
        for state, job in (
            ("completed", fine), ("failed", bad), ("active", runs), ("wait", waits), ("prioritized", high),
            ("delayed", later),
        ):  # fmt: skip
            (seen,) = await theirs("getJobs", [state])
            assert (seen["id"], seen["name"]) == (job.id, job.name)
        assert {job["id"] for job in await theirs("getJobs", ["wait", "delayed", "completed"])} == {
            waits.id, later.id, fine.id,
        }  # fmt: skip
        assert await theirs("getCountsPerPriority", [0, 4]) == {"0": 1, "4": 1}


async def test_their_prometheus_text_counts_our_jobs(node: Peer, name: str, url: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    await queue.add_bulk([("j", {}, {"delay": 60}), ("j", {}), ("j", {})])
    text = await theirs("exportPrometheusMetrics")
    assert f'bullmq_job_count{{queue="{name}", state="waiting"}} 2' in text
    assert f'bullmq_job_count{{queue="{name}", state="delayed"}} 1' in text


async def test_progress_set_by_a_client_reaches_a_node_listener_and_us(node: Peer, name: str, queue: Queue) -> None:
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    theirs = await node.open("Queue", name)
    ours = await queue.add("j", {})
    await ours.progress({"done": 1})
    await theirs.job(ours.id, "updateProgress", {"done": 2})
    await until(lambda: len(events.said("progress", ours.id)) == 2, "both are told")
    assert [event["data"] for event in events.said("progress", ours.id)] == [{"done": 1}, {"done": 2}]
    seen = await queue.get_job(ours.id)
    assert seen is not None and seen.progress_value == {"done": 2}


async def test_logs_of_both_sides_are_one_log_and_their_cap_holds(node: Peer, name: str, queue: Queue) -> None:
    theirs = await node.open("Queue", name)
    job_id = (await theirs("add", "j", {}, {"keepLogs": 3}))["id"]
    ours = await queue.get_job(job_id)
    assert ours is not None
    for n in range(3):
        await ours.log(f"ours {n}")
        await theirs.job(job_id, "log", f"theirs {n}")
    expected = ["theirs 1", "ours 2", "theirs 2"]
    assert await ours.logs() == expected
    assert await theirs("getJobLogs", job_id) == {"logs": expected, "count": 3}


async def _listed(theirs: Remote, names: list[str]) -> bool:
    return sorted(worker["rawname"].rpartition(":w:")[2] for worker in await theirs("getWorkers")) == names
