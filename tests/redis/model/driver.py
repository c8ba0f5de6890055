"""How the machine is run: short and always the same for `make test`, long and from a seed for `make chaos`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import ClassVar

from hypothesis import HealthCheck, Phase, reject, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.redis.model.machine import Machine
from tests.redis.model.world import World

#: Runs from an empty Redis between two lines of the long form.
ROUND = 20


def form(runs: int, length: int, *, derandomize: bool) -> settings:
    """Settings for so many runs of so many steps; shrinking is on, nothing is kept between two tests."""
    return settings(
        max_examples=runs, stateful_step_count=length, derandomize=derandomize, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip


@contextlib.contextmanager
def machine_on(
    url: str, changes: Mapping[str, str] | None = None, kind: type[Machine] = Machine
) -> Iterator[type[Machine]]:
    """A machine on that Redis; ``changes`` are mutations of the scripts, see `World`."""

    class Opened(kind):  # type: ignore[misc, valid-type]
        world = World(url, changes)
        steps_made = 0

    Opened.__name__ = Opened.__qualname__ = "Machine"
    yield Opened
    Opened.world.close()


def run_short(machine: type[Machine], runs: int, length: int) -> None:
    """The same steps each time. Raises what hypothesis found, shrunk."""
    run_state_machine_as_test(machine, settings=form(runs, length, derandomize=True))


def run_until_found(machine: type[Machine], finding: str, runs: int, length: int) -> None:
    """As `run_short`, for what breaks one rule: what breaks others alone ends a run. Raises it as it was met."""

    class Seeking(machine):  # type: ignore[misc, valid-type]
        def judge(self, found: list[tuple[str, str]]) -> None:
            if found and not any(name == finding for name, _ in found):
                reject()
            super().judge(found)

    run_state_machine_as_test(Seeking, settings=settings(form(runs, length, derandomize=True), phases=[Phase.generate]))


def run_long(machine: type[Machine], steps: int, first_seed: int, length: int) -> bool:
    """At least so many steps; False if something was found, which is printed as it was met, and again when shrunk."""
    began, round_number = time.monotonic(), 0

    class Telling(machine):  # type: ignore[misc, valid-type]
        told: ClassVar[bool] = False

        def judge(self, found: list[tuple[str, str]]) -> None:
            if found and not Telling.told:
                Telling.told = True
                print(f"FOUND, shrinking it, which may take 5 minutes: {found}\n{self.world.told()}", flush=True)
            super().judge(found)

    while Telling.steps_made < steps:
        seeded = seed(first_seed * 1_000_003 + round_number)(Telling)
        try:
            run_state_machine_as_test(seeded, settings=form(ROUND, length, derandomize=False))
        except AssertionError as error:
            print(f"round {round_number} of seed {first_seed}, after {Telling.steps_made} steps, shrunk:\n{error}")
            print("\n".join(getattr(error, "__notes__", ())), flush=True)
            return False
        round_number += 1
        print(f"round {round_number}: {Telling.steps_made} steps, {time.monotonic() - began:.0f} s", flush=True)
    return True
