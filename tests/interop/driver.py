"""BullMQ's Python port, driven as `driver.mjs` is: the same lines of JSON, the same play.

python driver.py PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from bullmq import Job, Queue, Worker
from bullmq.custom_errors import UnrecoverableError

FIELDS = (
    "id", "name", "data", "opts", "timestamp", "delay", "priority", "attemptsMade", "attemptsStarted", "stalledCounter",
    "progress", "returnvalue", "failedReason", "stacktrace", "processedOn", "processedBy", "finishedOn",
)  # fmt: skip

opened: dict[str, Any] = {}


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    if isinstance(value, Job):
        return {field: getattr(value, field, None) for field in FIELDS}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


async def play(job: Job) -> Any:
    data = job.data if isinstance(job.data, dict) else {}
    if "log" in data:
        await job.log(data["log"])
    if "progress" in data:
        await job.updateProgress(data["progress"])
    if data.get("takesMs"):
        await asyncio.sleep(data["takesMs"] / 1000)
    if "reject" in data:
        raise UnrecoverableError(data["reject"])
    if job.attemptsMade < data.get("fails", 0):
        raise RuntimeError(f"attempt {job.attemptsMade + 1} failed")
    if data.get("returnsChildren"):
        return sorted((await job.getChildrenValues()).values())
    return data.get("returns")


def open_worker(name: str, queue: str, settings: dict[str, Any]) -> Worker:
    async def handle(job: Job, token: str) -> Any:
        say({"from": name, "event": "handled", "job": job.id, "name": job.name, "attempt": job.attemptsMade + 1,
             "at": time.time() * 1000})  # fmt: skip
        return await play(job)

    worker = Worker(queue, handle, settings)
    worker.on("error", lambda error, *_: say({"from": name, "event": "error", "message": str(error)}))
    return worker


async def answer(request: dict[str, Any]) -> Any:
    arguments = request.get("args", [])
    match request["op"]:
        case "hello":
            pass
        case "open":
            settings = {"connection": f"redis://127.0.0.1:{sys.argv[1]}", **request.get("options", {})}
            name = request["as"]
            if request["kind"] == "Queue":
                opened[name] = Queue(request["queue"], settings)
            else:
                opened[name] = open_worker(name, request["queue"], settings)
        case "close":
            await opened.pop(request["on"]).close()
        case "call":
            return plain(await getattr(opened[request["on"]], request["method"])(*arguments))
        case "job":
            job = await Job.fromId(opened[request["on"]], request["job"])
            return plain(await getattr(job, request["method"])(*arguments) if request.get("method") else job)
        case other:
            raise ValueError(f"no such op: {other}")


async def reply(request: dict[str, Any]) -> None:
    try:
        say({"id": request["id"], "value": await answer(request)})
    except Exception as error:
        say({"id": request["id"], "error": str(error) or type(error).__name__})


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks: set[asyncio.Task[None]] = set()
    while line := await reader.readline():
        task = asyncio.create_task(reply(json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(main())
