#!/usr/bin/env python3
"""Publishes results: draws them as SVG, and puts their tables into the page that tells of them.

    $BENCH_HOME/venvs/plot/bin/python bench/publish.py

Reads bench/results/peers.json, nearest.json and scenarios.json; writes docs/bench/*.svg and what stands between the
marks of docs/performance.md. Nothing in these tables is typed by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# the same picture from the same numbers: no random ids, no date
matplotlib.rcParams["svg.hashsalt"] = "crewline"
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt  # noqa: E402
from report import report, rows_table, table  # noqa: E402

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
PICTURES = HERE.parent / "docs" / "bench"
OURS, OTHERS = "#2b6cb0", "#a0aec0"


def bars(results: dict, measure: str, title: str, path: Path, *, least_first: bool = False, log: bool = False) -> None:
    """Every peer's median of one measure, the best first."""
    medians = {name: peer["median"][measure] for name, peer in results["peers"].items() if "median" in peer}
    names = sorted(medians, key=lambda name: medians[name], reverse=least_first)
    figure, axes = plt.subplots(figsize=(7.5, 0.34 * len(names) + 0.9))
    drawn = axes.barh(names, [medians[n] for n in names], color=[OURS if "crewline" in n else OTHERS for n in names])
    axes.bar_label(drawn, [f" {medians[n]:,.2f}" if medians[n] < 100 else f" {medians[n]:,.0f}" for n in names], size=8)
    axes.set_title(title, loc="left", size=10)
    if log:
        axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def curve(rows: list[dict], x: str, y: str, title: str, path: Path, *, log_x: bool = False) -> None:
    figure, axes = plt.subplots(figsize=(6, 3))
    axes.plot([row[x] for row in rows], [row[y] for row in rows], marker="o", color=OURS)
    axes.set_title(title, loc="left", size=10)
    axes.set_xlabel(x.replace("_", " "))
    axes.set_ylim(bottom=0)
    if log_x:
        axes.set_xscale("log")
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def save(figure: plt.Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    print(path)


def put(page: str, mark: str, text: str) -> str:
    """The page with ``text`` between ``<!-- mark -->`` and the ``<!-- end -->`` after it."""
    opening = f"<!-- {mark} -->"
    before, _, rest = page.partition(opening)
    _, closing, after = rest.partition("<!-- end -->")
    if not closing:
        raise SystemExit(f"{PAGE.name} has no {opening} … <!-- end -->")
    return f"{before}{opening}\n{text}\n{closing}{after}"


def nearest(results: dict) -> str:
    """The short table of those that come near to us in any measure."""
    head = ["peer", "process jobs/s", "enqueue jobs/s", "2,000 × 50 ms, s", "pickup ms p50 / p99", "redis CPU µs/job"]
    rows = []
    for name, peer in results["peers"].items():
        if "median" not in peer:
            raise SystemExit(f"nearest.json: {name} failed: {peer['error']}")
        m = peer["median"]
        rows.append(
            [
                name,
                f"{m['process']:,.0f}",
                f"{m['enqueue']:,.0f}",
                f"{m['sleep_wall']:.2f}",
                f"{m['lat_p50']:.2f} / {m['lat_p99']:.2f}",
                f"{m['cpu_us']:.0f}",
            ]
        )
    return table(head, rows)


def main() -> None:
    peers, near, scenarios = (
        json.loads((HERE / "results" / f"{name}.json").read_text()) for name in ("peers", "nearest", "scenarios")
    )
    PICTURES.mkdir(parents=True, exist_ok=True)
    bars(peers, "process", "Processed jobs a second (no-op, one worker process)", PICTURES / "process.svg")
    bars(peers, "enqueue", "Enqueued jobs a second (bulk, one producer process)", PICTURES / "enqueue.svg")
    bars(peers, "lat_p50", "Pickup by an idle worker, p50, ms", PICTURES / "pickup-p50.svg", least_first=True, log=True)
    bars(peers, "lat_p99", "Pickup by an idle worker, p99, ms", PICTURES / "pickup-p99.svg", least_first=True, log=True)
    bars(peers, "cpu_us", "Redis CPU a job, µs, enqueue and process", PICTURES / "redis-cpu.svg", least_first=True)
    for name, x, y, title, log_x in (
        ("workers", "workers", "jobs_per_s", "Jobs a second by worker processes on one queue", False),
        ("queues", "queues", "jobs_per_s", "Jobs a second by queues in one Redis", True),
        ("memory", "jobs", "rss_mib", "Resident memory of one worker, MiB", False),
    ):
        curve(scenarios[name], x, y, title, PICTURES / f"{name}.svg", log_x=log_x)
    page = put(PAGE.read_text(), "peers", report(peers))
    page = put(page, "nearest", nearest(near))
    for name, rows in scenarios.items():
        page = put(page, name, rows_table(rows))
    PAGE.write_text(page)
    print(PAGE)


if __name__ == "__main__":
    main()
