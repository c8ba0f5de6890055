"""The driver sees what it is there for: jobs lost or handled twice, attempts used up, a fault that never struck."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from crewline.redis.connection import connect
from redis.asyncio import Redis
from redis.exceptions import ConnectionError, TimeoutError

from tests import redis_server
from tests.chaos import driver, probe, report
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.ledger import Ledger, Run
from tests.chaos.proxy import Proxy
from tests.chaos.scene import SHORT, Scene
from tests.chaos.waiting import until

FORM = replace(SHORT, jobs=40, workers=1, span_seconds=0.5)


class Sabotage(Fault):
    """Takes a waiting job away, writes an effect down again, and counts an attempt too many."""

    async def inject(self, scene: Scene) -> None:
        queue = scene.queue
        scene.struck()
        await queue.redis.lrem(queue.keys.wait, 1, "40")
        await queue.redis.hset(queue.keys.job("39"), "atm", 1)
        with scene.fleet.ledger.open("a") as ledger:
            ledger.write("38 9 1 begin 1.0\n38 9 1 end 2.0\n")


class NoFault(Fault):
    async def inject(self, scene: Scene) -> None:
        pass


class Silence(NoFault):
    """A worker stands still for good; its lease ends, and the other does all the work."""

    async def inject(self, scene: Scene) -> None:
        victim = scene.victim()
        victim.send(signal.SIGSTOP)
        scene.struck(victim)


class FewerSlots(NoFault):
    """A worker comes that has lost two of its slots."""

    async def inject(self, scene: Scene) -> None:
        scene.struck()
        scene.fleet.concurrency -= 2
        scene.fleet.spawn()


async def test_the_driver_sees_loss_repetition_and_used_up_attempts(tmp_path: Path) -> None:
    row = await driver.run(Sabotage(), FORM, 1, tmp_path)
    assert (row.lost, row.twice, row.attempts_used) == (1, 1, 1)
    told = "\n".join(row.problems)
    assert "1 jobs lost" in told and "['40']" in told
    assert "handled twice without a reason: {'38'" in told
    assert "1 attempts were used up" in told


async def test_a_fault_that_never_struck_is_no_success(tmp_path: Path) -> None:
    row = await driver.run(NoFault(), FORM, 1, tmp_path)
    assert row.problems == ["the fault never struck: the work was over before"]


@pytest.mark.parametrize(("fault", "filled"), [(Silence(), 0), (FewerSlots(), 6)], ids=["silent", "fewer slots"])
async def test_a_living_worker_that_fetches_nothing_for_a_free_slot_is_seen(
    fault: Fault, filled: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # others fill theirs in milliseconds
    monkeypatch.setattr(probe, "GIVE_UP_SECONDS", 3.0)
    row = await driver.run(fault, replace(FORM, workers=2), 1, tmp_path)
    assert row.lost == 0
    (told,) = row.problems
    assert f"filled {filled} of its 8 slots in 3 s of a backlog" in told


class Late(NoFault):
    """A worker stands still when the slots are to be filled, for longer than it may leave one free."""

    async def inject(self, scene: Scene) -> None:
        self.victim = scene.victim()
        scene.struck(self.victim)

    async def fill(self, scene: Scene, more_seconds: float = 0.0) -> tuple[float, list[str]]:
        """As the driver has the slots filled, with the worker held up before the first job is there."""
        self.victim.send(signal.SIGSTOP)
        waking = asyncio.ensure_future(self._wake(scene))
        try:
            return await probe.fill_all_slots(scene, more_seconds)
        finally:
            await waking

    async def _wake(self, scene: Scene) -> None:
        # nobody else has room for those that are left
        await until(lambda: self._wait(scene), "a backlog")
        # longer than a busy machine excuses
        await asyncio.sleep(probe.PROMISED_SECONDS + 5)
        self.victim.send(signal.SIGCONT)

    @staticmethod
    async def _wait(scene: Scene) -> bool:
        counts = await scene.queue.metrics()
        return counts.active >= 8 and counts.waiting > 0


async def test_a_worker_that_fills_its_slots_too_late_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late()
    monkeypatch.setattr(driver, "fill_all_slots", late.fill)
    row = await driver.run(late, replace(FORM, workers=2), 1, tmp_path)
    (told,) = row.problems
    assert told.startswith(f"a slot was free for {row.fill_seconds:.2f} s while jobs waited")


async def test_work_under_a_fault_that_ends_workers_is_compared_with_the_same_work_without(tmp_path: Path) -> None:
    row = await driver.run(FAULTS["sigkill"], replace(SHORT, compared=True), 1, tmp_path)
    assert row.problems == []
    assert row.strikes == 1
    assert row.work_seconds > 0
    assert row.longer is not None and row.longer > 0


def test_a_ledger_tells_runs_apart(tmp_path: Path) -> None:
    path = tmp_path / "ledger.txt"
    lines = (
        "7 1 9 begin 1.0",
        "7 2 8 begin 2.0",
        "7 2 8 end 3.0",
        "7 1 9 end 4.0",
        "8 1 9 begin 5.0",
        "8 1 9 stopped 6.0",
    )
    path.write_text("\n".join(lines) + "\n8 1 9 e")
    ledger = Ledger.read(path)
    assert ledger.runs["7"] == [Run(9, 1, 1.0, 4.0), Run(8, 2, 2.0, 3.0)]
    assert ledger.twice() == ["7"] and ledger.begun_again() == ["7"]
    assert ledger.ends()["8"] == 0


@pytest.mark.parametrize("cut", ["cut_requests", "cut_replies"])
async def test_the_proxy_cuts_a_call_before_or_after_redis_carried_it_out(cut: str, tmp_path: Path) -> None:
    with redis_server.start(tmp_path) as server:
        async with Proxy(server.port) as proxy, connect(proxy.url) as client:
            setattr(proxy, cut, 1)
            with pytest.raises(ConnectionError):
                await client.eval("return redis.call('SET', KEYS[1], 'done')", 1, "key")
            assert proxy.hits == 1
        async with connect(server.url) as direct:
            assert await direct.get("key") == (b"done" if cut == "cut_replies" else None)


async def test_the_proxy_delivers_what_it_held_also_where_the_client_has_given_up(tmp_path: Path) -> None:
    with redis_server.start(tmp_path) as server:
        async with Proxy(server.port) as proxy, connect(server.url) as direct:
            client = connect(proxy.url, socket_timeout=0.2)
            await client.ping()
            deliver = proxy.hold()
            with pytest.raises(TimeoutError):
                await client.set("key", "late")
            await client.aclose()
            assert await direct.get("key") is None
            deliver()
            await until(lambda: _is_there(direct), "what was held to be carried out")


async def _is_there(client: Redis) -> bool:
    return await client.get("key") == b"late"


def test_the_page_shows_what_the_run_found_and_leaves_out_no_fault() -> None:
    page, rows = report.page(), report.read(report.ROWS)
    assert report.table(rows) in page
    assert {row.fault for row in rows} == {fault.name for fault in FAULTS.values()}
    assert all(row.lost == 0 and row.problems == [] for row in rows)
