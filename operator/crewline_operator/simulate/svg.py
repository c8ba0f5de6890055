"""Draws a simulated load: what came, the workers, and how long jobs waited, one below the other on the same time.

Written by hand: three charts of lines and bars are some hundred lines, and a plotting library would be more than the
operator's image weighs. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from crewline_operator.scaling.spec import LatencyObjective, ScalingSpec
from crewline_operator.simulate.figures import Waits, duration
from crewline_operator.simulate.outcome import Outcome

WIDTH = 960
LEFT, RIGHT = 64, 32
PLOT = WIDTH - LEFT - RIGHT
#: The picture tells so many moments apart.
BUCKETS = PLOT // 3
#: Told apart by everyone, also printed without colour: the second is darker, the limit is dashed.
FAINT, LINE, DARK, LIMIT = "#a8c8ea", "#2f74c0", "#12365e", "#c2410c"
INK, GREY, GRID = "#1f2933", "#616e7c", "#e4e7eb"
TIME_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)

Point = tuple[float, float]


def draw(title: str, spec: ScalingSpec, outcome: Outcome) -> str:
    """The picture as an SVG document."""
    scene = _Scene(max(outcome.ended, 1.0), _bucketed(outcome))
    parts = [_text(LEFT, 30, title, size=18, weight="600")]
    parts.append(_text(LEFT, 50, _summary(outcome), colour=GREY))
    top = 92
    for panel in (_arrivals, _workers, _waits):
        drawn, height = panel(scene, spec, outcome, top)
        parts += drawn
        top += height + 64
    parts.append(_text(LEFT + PLOT / 2, top - 24, "time since the trace began", colour=GREY, anchor="middle"))
    height = top - 8
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'role="img" font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="12">',
            f"<title>{escape(title)}</title>",
            f"<desc>{escape(_summary(outcome))}</desc>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


@dataclass(frozen=True)
class _Bucket:
    """What happened in a small part of the time."""

    jobs: int
    waits: Waits | None


@dataclass(frozen=True)
class _Scene:
    seconds: float
    buckets: list[_Bucket]

    def x(self, time: float) -> float:
        return LEFT + PLOT * time / self.seconds

    @property
    def bucket_seconds(self) -> float:
        return self.seconds / BUCKETS


def _bucketed(outcome: Outcome) -> list[_Bucket]:
    seconds = max(outcome.ended, 1.0)
    waits: list[list[float]] = [[] for _ in range(BUCKETS)]
    for run in outcome.runs:
        waits[min(BUCKETS - 1, int(run.came / seconds * BUCKETS))].append(run.waited)
    return [_Bucket(len(each), Waits.of(each) if each else None) for each in waits]


def _summary(outcome: Outcome) -> str:
    waits = Waits.of([run.waited for run in outcome.runs])
    return (
        f"{len(outcome.runs):,} jobs, waited {duration(waits.p50)} (p50), {duration(waits.p95)} (p95), "
        f"{duration(waits.max)} (max); {outcome.replica_seconds:,.0f} replica-seconds, {len(outcome.scalings)} scalings"
    )


def _arrivals(scene: _Scene, spec: ScalingSpec, outcome: Outcome, top: float) -> tuple[list[str], int]:
    height = 90
    rates = [bucket.jobs / scene.bucket_seconds for bucket in scene.buckets]
    y, axis = _y_axis(top, height, max(rates), str_of=lambda value: f"{value:g}")
    bars = "".join(
        f"M{LEFT + 3 * at + 0.5:.1f} {top + height}V{y(rate):.1f}h2V{top + height}z"
        for at, rate in enumerate(rates)
        if rate
    )
    heading = _heading(top, "jobs that come, per second", [])
    return [*axis, *_time_axis(scene, top, height), _path(bars, fill=LINE), *heading], height


def _workers(scene: _Scene, spec: ScalingSpec, outcome: Outcome, top: float) -> tuple[list[str], int]:
    height = 190
    looks = outcome.looks
    highest = max((max(look.wanted, look.pods) for look in looks), default=1)
    y, axis = _y_axis(top, height, highest, str_of=lambda value: f"{value:g}", whole=True)
    busy = _steps(scene, y, [(look.time, look.active / spec.concurrency) for look in looks])
    area = f"{busy}V{y(0):.1f}H{scene.x(looks[0].time):.1f}z" if looks else ""
    pods = _steps(scene, y, [(look.time, look.pods) for look in looks])
    wanted = _steps(scene, y, [(look.time, look.wanted) for look in looks])
    heading = _heading(
        top,
        "workers",
        [("busy (slots / concurrency)", FAINT, "area"), ("pods", DARK, "thin"), ("replicas wanted", LINE, "line")],
    )
    lines = [_path(area, fill=FAINT), _path(wanted, stroke=LINE, width=2.5), _path(pods, stroke=DARK, width=1)]
    return [*axis, *_time_axis(scene, top, height), *lines, *heading], height


def _waits(scene: _Scene, spec: ScalingSpec, outcome: Outcome, top: float) -> tuple[list[str], int]:
    height = 190
    objective = spec.target.seconds if isinstance(spec.target, LatencyObjective) else None
    highest = max((run.waited for run in outcome.runs), default=0.0)
    y, axis = _y_axis(top, height, max(highest, (objective or 0) * 1.05, 0.001), str_of=duration)
    bars, medians = [], []
    for at, bucket in enumerate(scene.buckets):
        if bucket.waits is None:
            continue
        left = LEFT + 3 * at
        bars.append(f"M{left} {y(0):.1f}V{y(bucket.waits.max):.1f}h3V{y(0):.1f}z")
        medians.append(f"M{left} {y(bucket.waits.p50):.1f}h3")
    lines = [_path("".join(bars), fill=FAINT), _path("".join(medians), stroke=DARK, width=2)]
    legend = [("longest", FAINT, "area"), ("median", DARK, "line")]
    if objective is not None:
        lines.append(_path(f"M{LEFT} {y(objective):.1f}h{PLOT}", stroke=LIMIT, width=1.5, dashes="6 4"))
        legend.append((f"objective, {duration(objective)}", LIMIT, "dashed"))
    heading = _heading(top, "wait of the jobs that came then", legend)
    return [*axis, *_time_axis(scene, top, height), *lines, *heading], height


def _steps(scene: _Scene, y: Callable[[float], float], points: Sequence[Point]) -> str:
    """A line that stands until the next point; of points in one pixel the extremes."""
    if not points:
        return ""
    drawn = [f"M{scene.x(points[0][0]):.1f} {y(points[0][1]):.1f}"]
    at = 0
    while at < len(points):
        pixel = int(scene.x(points[at][0]))
        here = _values_at(points, at, scene, pixel)
        # Once up and once down is all that can be seen in a pixel.
        drawn.append(f"H{scene.x(points[at][0]):.1f}")
        drawn += [f"V{y(value):.1f}" for value in dict.fromkeys((max(here), min(here), here[-1]))]
        at += len(here)
    drawn.append(f"H{scene.x(scene.seconds):.1f}")
    return "".join(drawn)


def _values_at(points: Sequence[Point], start: int, scene: _Scene, pixel: int) -> list[float]:
    values = []
    for time, value in points[start:]:
        if int(scene.x(time)) != pixel:
            break
        values.append(value)
    return values


def _y_axis(
    top: float, height: int, highest: float, *, str_of: Callable[[float], str], whole: bool = False
) -> tuple[Callable[[float], float], list[str]]:
    """The scale, and its lines with numbers."""
    step = _nice_step(highest / 4)
    if whole:
        step = max(1.0, step)
    end = max(step, math.ceil(highest / step - 1e-9) * step)

    def y(value: float) -> float:
        return top + height - height * value / end

    parts = []
    for number in range(round(end / step) + 1):
        value = number * step
        parts.append(_path(f"M{LEFT} {y(value):.1f}h{PLOT}", stroke=GRID if number else GREY, width=1))
        label = str_of(value) if number else "0"
        parts.append(_text(LEFT - 8, y(value) + 4, label, colour=GREY, anchor="end"))
    return y, parts


def _time_axis(scene: _Scene, top: float, height: int) -> list[str]:
    step = next((each for each in TIME_STEPS if scene.seconds / each <= 10), 0)
    step = step or math.ceil(scene.seconds / 10 / 86400) * 86400
    unit, name = next(((u, n) for u, n in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if step % u == 0))
    parts = []
    for number in range(int(scene.seconds // step) + 1):
        x = scene.x(number * step)
        parts.append(_path(f"M{x:.1f} {top + height}v4", stroke=GREY, width=1))
        label = f"{number * step // unit} {name}" if number else "0"
        parts.append(_text(x, top + height + 17, label, colour=GREY, anchor="middle"))
    return parts


def _nice_step(least: float) -> float:
    """1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= least * (1 - 1e-9))


def _heading(top: float, title: str, legend: Sequence[tuple[str, str, str]]) -> list[str]:
    """What a chart shows, and from the right what its lines are."""
    parts = [_text(LEFT, top - 12, title, weight="600")]
    x: float = LEFT + PLOT
    for label, colour, kind in reversed(legend):
        # Wide enough for any of the fonts.
        x -= 7.0 * len(label)
        parts.append(_text(x, top - 12, label, colour=GREY))
        if kind == "area":
            parts.append(f'<rect x="{x - 20:.1f}" y="{top - 21}" width="14" height="10" fill="{colour}"/>')
        else:
            width, dashes = (1 if kind == "thin" else 2.5), ("4 3" if kind == "dashed" else "")
            parts.append(_path(f"M{x - 22:.1f} {top - 16}h16", stroke=colour, width=width, dashes=dashes))
        x -= 36
    return parts


def _path(data: str, *, fill: str = "none", stroke: str = "none", width: float = 0, dashes: str = "") -> str:
    style = f' stroke="{stroke}" stroke-width="{width:g}"' if stroke != "none" else ""
    style += f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{data}" fill="{fill}"{style}/>'


def _text(
    x: float, y: float, text: str, *, colour: str = INK, size: int = 12, weight: str = "", anchor: str = ""
) -> str:
    style = f' font-size="{size}"' if size != 12 else ""
    style += f' font-weight="{weight}"' if weight else ""
    style += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{style}>{escape(text)}</text>'
