"""A socket of this machine, and what connections to Sentinels leave."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import redis
from crewline import Queue, sync
from crewline.redis.connection import connect_sync

from tests import redis_server
from tests.redis.test_topologies import _exercise
from tests.redis.topologies import start_sentinel


async def test_a_socket_of_this_machine(tmp_path: Path) -> None:
    socket = tmp_path / "a socket"
    with redis_server.start(tmp_path, "--unixsocket", str(socket)):
        url = f"unix://{tmp_path}/a%20socket?db=1"
        await _exercise(url)
        with sync.Queue("emails", redis=url) as queue:
            assert queue.add("n", 1).state() == "waiting"


async def test_clients_of_a_master_leave_no_connection_to_its_sentinels(tmp_path: Path, until: Any) -> None:
    with (
        redis_server.start(tmp_path / "master") as master,
        start_sentinel(tmp_path / "sentinel", master.port) as port,
        contextlib.closing(redis.Redis(port=port)) as guard,
    ):
        before = len(guard.client_list())
        url = f"redis+sentinel://127.0.0.1:{port}/main/0"
        for _ in range(3):
            async with Queue("emails", redis=url) as queue:
                await queue.add("n", 1)
        with contextlib.closing(connect_sync(url)) as client:
            assert client.dbsize() > 0
        await until(lambda: len(guard.client_list()) == before)


async def test_sentinels_that_are_all_away_are_told_by_name() -> None:
    first, second = (f"127.0.0.1:{redis_server.free_port()}" for _ in range(2))
    async with Queue("emails", redis=f"redis+sentinel://{first},{second}/main") as queue:
        with pytest.raises(redis.ConnectionError, match=f"'main' : {first} - [^<]*{second} - [^<]*$"):
            await queue.metrics()
