"""Random steps through the real scripts; see machine.py for the steps and invariants.py for what must hold.

The form here is short and the same each time; `make model` has the long one. What a longer run has found stands in
regressions.py, step by step.
"""

from __future__ import annotations

import pytest

from tests.redis.model import driver, regressions
from tests.redis_server import RedisServer


def test_whatever_happens_to_jobs_nothing_is_lost_or_left_behind(redis_server: RedisServer) -> None:
    with driver.machine_on(redis_server.url) as machine:
        driver.run_short(machine, runs=150, length=40)


@pytest.mark.parametrize("name", regressions.RUNS)
def test_what_the_model_found_once_does_not_come_back(name: str, redis_server: RedisServer) -> None:
    with driver.machine_on(redis_server.url) as machine:
        regressions.play(machine(), regressions.RUNS[name])
