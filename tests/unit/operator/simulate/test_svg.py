"""The picture is a sound document that shows what came out, and of a size that a browser likes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from crewline_operator.scaling.spec import LatencyObjective, ScalingSpec
from crewline_operator.simulate.model import simulate
from crewline_operator.simulate.svg import WIDTH, draw
from crewline_operator.simulate.trace import Arrival

from tests.unit.operator.scaling.queues import spec

BURST = [Arrival(0, 1, 1.0), Arrival(600, 500, 2.0), Arrival(1200, 30, 2.0)]


def drawn(limits: ScalingSpec, load: list[Arrival], title: str = "JobQueue emails") -> str:
    return draw(title, limits, simulate(limits, load))


def texts(picture: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_it_says_what_it_shows() -> None:
    told = texts(drawn(spec(target=LatencyObjective(30)), BURST))
    for text in ("JobQueue emails", "jobs that come, per second", "workers", "wait of the jobs that came then"):
        assert text in told
    assert "objective, 30 s" in told
    assert any(text.startswith("531 jobs, waited ") for text in told)


def test_what_is_no_objective_is_not_drawn() -> None:
    assert not any("objective" in text for text in texts(drawn(spec(), BURST)))


@pytest.mark.parametrize(
    "load",
    [
        [Arrival(0, 1, 0.0)],
        [Arrival(0, 1, 0.001)],
        [Arrival(0, 20_000, 0.01)],
        [Arrival(86400.0 * day, 1, 1.0) for day in range(30)],
        [Arrival(0, 1, 2e6)],
    ],
    ids=["one", "short", "many", "a month", "one long job"],
)
def test_any_load_is_drawn_within_the_picture(load: list[Arrival]) -> None:
    picture = drawn(spec(), load)
    ElementTree.fromstring(picture)
    assert "nan" not in picture and "inf" not in picture
    numbers = [float(each) for each in re.findall(r"[MH](-?[\d.]+)", picture)]
    assert min(numbers) >= 0 and max(numbers) <= WIDTH
    assert len(texts(picture)) < 80, "labels that do not run into each other"


def test_a_long_load_makes_no_large_picture() -> None:
    assert len(drawn(spec(), [Arrival(second * 5.0, 3, 2.0) for second in range(5000)])) < 200_000


def test_a_name_is_text_and_no_markup() -> None:
    assert "<script>" in "".join(texts(drawn(spec(), BURST, title="<script> & co")))
