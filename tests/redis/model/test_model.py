"""Random steps through the real scripts; see machine.py for the steps and invariants.py for what must hold."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis.model.machine import Machine
from tests.redis.model.world import World
from tests.redis_server import RedisServer


def test_whatever_happens_to_jobs_nothing_is_lost_or_left_behind(redis_server: RedisServer) -> None:
    Machine.world = World(redis_server.url)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            derandomize=True, max_examples=100, stateful_step_count=40, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip
