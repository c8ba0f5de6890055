"""However much is named, a bounded number of watches is open; the rest is asked for in turn, and nothing is missed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline_operator.kube import named
from crewline_operator.kube.content import read_digest
from crewline_operator.kube.named import Named, NamedObjects
from crewline_operator.model.key import Object

from tests.unit.operator.kube.objects import secrets

NAMES = tuple(f"s{number}" for number in range(12))


def secret(name: str) -> Named:
    return Named("Secret", "shop", name)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three watches, and short times."""
    for name, value in {"WATCHES": 3, "POLL_SECONDS": 0.3, "POLLS_PER_SECOND": 1000.0}.items():
        monkeypatch.setattr(named, name, value)


async def test_of_many_some_are_watched_and_all_are_known(few: None) -> None:
    told: asyncio.Queue[str] = asyncio.Queue()
    async with secrets(*NAMES) as (there, api):
        objects: NamedObjects[str] = NamedObjects(api, told.put_nowait)
        for name in NAMES:
            objects.refer(name, [secret(name)])
            assert await objects.find(secret(name)) is not None
        await there.until(lambda: all(there.asked[name] >= 4 for name in NAMES[3:]))
        assert set(there.watches) == set(NAMES[:3])
        there.put("s0", "two")
        there.put("s7", "two")
        async with asyncio.timeout(30):
            assert {await told.get(), await told.get()} == {"s0", "s7"}
        for name in ("s0", "s7"):
            found = await objects.find(secret(name))
            assert found is not None and found["data"] == {"value": "two"}
        assert set(there.watches) == set(NAMES[:3]), "what has a watch for so short a time keeps it"
        await objects.close()


async def test_what_has_changed_last_takes_the_place_of_what_was_needed_longest_ago(
    few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "KEPT_SECONDS", 0.0)
    async with secrets(*NAMES) as (there, api):
        objects: NamedObjects[str] = NamedObjects(api, lambda _: None)
        for name in NAMES[:4]:
            objects.refer(name, [secret(name)])
            assert await objects.find(secret(name)) is not None
        await there.until(lambda: set(there.watches) == {"s1", "s2", "s3"})
        there.put("s0", "two")
        await there.until(lambda: set(there.watches) == {"s0", "s2", "s3"})
        there.put("s1", "two")
        await there.until(lambda: set(there.watches) == {"s0", "s1", "s3"})
        await objects.close()


async def test_a_place_that_is_free_is_taken(few: None) -> None:
    async with secrets(*NAMES) as (there, api):
        objects: NamedObjects[str] = NamedObjects(api, lambda _: None)
        for name in NAMES[:4]:
            objects.refer(name, [secret(name)])
            assert await objects.find(secret(name)) is not None
        await there.until(lambda: set(there.watches) == {"s0", "s1", "s2"})
        objects.refer("s0")
        await there.until(lambda: "s3" in there.watches)
        await objects.close()


async def test_an_answer_that_comes_late_undoes_nothing_that_was_told_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with secrets("s0") as (there, api):
        find, comes = api.find, asyncio.Event()

        async def slow(*of: Any) -> Object | None:
            found = await find(*of)
            if asyncio.current_task() is late:
                await comes.wait()
            return found

        monkeypatch.setattr(api, "find", slow)
        told: asyncio.Queue[str] = asyncio.Queue()
        objects: NamedObjects[str] = NamedObjects(api, told.put_nowait)
        objects.refer("user", [secret("s0")])
        late = asyncio.create_task(objects.find(secret("s0")))
        await there.until(lambda: there.asked["s0"] == 2 and "s0" in there.watches)
        assert await objects.find(secret("s0")) is not None
        there.put("s0", "two")
        async with asyncio.timeout(30):
            assert await told.get() == "user"
        comes.set()
        for found in (await late, await objects.find(secret("s0"))):
            assert found is not None and found["data"] == {"value": "two"}
        assert told.empty()
        await objects.close()


async def test_a_cancellation_that_was_meant_for_another_ends_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "RETRY_SECONDS", 0.01)
    async with secrets("s0") as (there, api):
        find, strays = api.find, [asyncio.CancelledError()]

        async def stray(*of: Any) -> Object | None:
            if strays and asyncio.current_task() is not test:
                raise strays.pop()
            return await find(*of)

        test = asyncio.current_task()
        monkeypatch.setattr(api, "find", stray)
        told: asyncio.Queue[str] = asyncio.Queue()
        objects: NamedObjects[str] = NamedObjects(api, told.put_nowait)
        objects.refer("user", [secret("s0")])
        assert await objects.find(secret("s0")) is not None
        await there.until(lambda: not strays and "s0" in there.watches)
        there.put("s0", "two")
        async with asyncio.timeout(30):
            assert await told.get() == "user"
        await objects.close()


def test_the_digest_of_a_handlers_source_is_that_of_the_workers_that_run() -> None:
    config_map = {
        "metadata": {"uid": "u", "resourceVersion": "7", "name": "handlers"},
        "data": {"handlers.py": "def echo(job): ..."},
        "binaryData": {"table.bin": "AAEC"},
    }
    assert read_digest(config_map) == {
        "metadata": {"uid": "u", "resourceVersion": "7"},
        "digest": "e657db40d08c2214",
    }
