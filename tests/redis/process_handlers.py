"""Handlers that tests run in child processes: those must be importable by name."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import redis
from crewline import LeaseLost, Reject, Retry
from redis.exceptions import RedisError


def work(job: Any) -> Any:
    match job.data.get("do"):
        case "pid":
            job.progress({"half": True})
            job.log("from a child")
            return os.getpid()
        case "spin":
            while True:  # holds the interpreter: only a kill ends it
                pass
        case "die":
            os._exit(7)
        case "reject":
            raise Reject("not this one")
        case "retry":
            if job.attempts_made == 0:
                raise Retry("again", delay=0.05)
            return "second time"
        case "lose the lease":
            with redis.Redis.from_url(job.data["url"]) as client:
                client.delete(f"bull:emails:{job.id}:lock")
                job.log("still mine")
                return client.pttl(f"bull:emails:{job.id}:lock")
        case "raise":
            raise ValueError("in a child")
        case "sleep":
            job.progress({"pid": os.getpid()})
            time.sleep(600)
        case "in C":
            job.progress({"pid": os.getpid()})
            ctypes.PyDLL(None).sleep(600)  # with the interpreter held: no thread of this process runs
        case "extend":
            job.extend("x")
        case "log":
            job.log("a line")
        case "close the loop":
            loop = job._loop
            while not loop.is_closed():
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(sys.exit)
                    loop.close()
                time.sleep(0.01)
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "lambda":
            return lambda: None
        case "unspeakable":
            raise Unspeakable
        case "fork":
            return fork()
        case "signal itself":
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            return "went on"
        case "end a fork":
            if (copy := os.fork()) == 0:
                time.sleep(30)
                os._exit(0)
            os.kill(copy, signal.SIGTERM)
            return os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
        case "break stdout":
            sys.stdout = Unflushable()
        case "leave a copy":
            if (copy := os.fork()) == 0:
                time.sleep(600)
            job.progress({"copy": copy})
            os._exit(5)
        case "fenced":
            job.progress({"pid": os.getpid()})
            while job.progress({"pid": os.getpid()}) is None:
                time.sleep(0.01)
        case "forge":
            os.write(line(), bytes.fromhex(job.data["hex"]))
            time.sleep(600)
        case "hang up":
            os.close(line())
        case "another's lease":
            raise LeaseLost("another's", ("another", "token"))
        case "untellable":
            raise untellable()
        case "look":
            return {"state": job.state(), "children": job.children_values(), "logs": job.logs(), "name": job.name}
        case "who":
            return {"of": job.id, "pid": os.getpid()}
    return job.data


def line() -> int:
    """The descriptor of this process' line to its worker."""
    return int(sys.orig_argv[sys.orig_argv.index("-c") + 2].split(",")[0])


def untellable() -> SyntaxError:
    """An error that Python can't print."""
    error = SyntaxError("the reason")
    error.text, error.offset = 5, 1  # type: ignore[assignment]
    return error


class Unflushable(io.StringIO):
    def flush(self) -> None:
        raise MemoryError("no words left")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def fork() -> str:
    copy = os.fork()
    if copy == 0:
        return "the copy's"
    os.waitpid(copy, 0)
    return "the handler's own"


def after_fork(copy: int, note: Path) -> None:
    if copy == 0:
        note.write_text("went on")
    else:
        os.waitpid(copy, 0)


async def walk(job: Any) -> Any:
    match job.data.get("do"):
        case "exit":
            sys.exit(3)
        case "cancelled":
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task
        case "fork":
            copy = os.fork()
            if copy == 0:
                await asyncio.sleep(0)
            after_fork(copy, Path(job.data["note"]))
    await job.progress({"of": job.id})
    await job.log("alone")
    return {"children": await job.children_values(), "state": await job.state(), "pid": os.getpid()}


async def parent(job: Any) -> Any:
    await job.progress({"parent": os.getppid(), "pid": os.getpid()})
    await asyncio.sleep(job.data.get("seconds", 0))
    return os.getppid()


async def either(job: Any) -> Any:
    if job.name == "long":
        await asyncio.sleep(60)
    if job.data.get("die"):
        os._exit(7)
    return os.getpid()


class Own(str):
    __slots__ = ()

    def __reduce__(self) -> Any:
        raise TypeError("can't be pickled")


class Worded(Exception):
    def __str__(self) -> str:
        return Own("in words of its own")


async def _tell(job: Any) -> Any:
    await job.progress({"of": job.id})
    await job.log("told")
    asyncio.get_running_loop().stop()
    return await job.state()


def hands_on(job: Any) -> Any:
    return _tell(job)


def worded(job: Any) -> None:
    raise Worded


def until_refused_once(job: Any) -> str:
    refused = False
    while True:
        try:
            job.progress("told")
        except RedisError:
            refused = True
        else:
            if refused:
                return "written"
        time.sleep(0.02)


def attempts_told(job: Any) -> None:
    raise ValueError(f"{job.attempts_made + 1} of {job.attempts}")
