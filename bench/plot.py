#!/usr/bin/env python3
"""Draws results as SVG: the comparison of peers, and the scenarios.

$BENCH_HOME/venvs/plot/bin/python bench/plot.py bench/results/DATE.json bench/results/scenarios.json docs/bench
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# the same picture from the same numbers: no random ids, no date
matplotlib.rcParams["svg.hashsalt"] = "crewline"
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt  # noqa: E402

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


def main() -> None:
    if len(sys.argv) != 4:
        raise SystemExit(__doc__)
    peers, scenarios = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    folder = Path(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    bars(peers, "process", "Processed jobs a second (no-op, one worker process)", folder / "process.svg")
    bars(peers, "enqueue", "Enqueued jobs a second (bulk, one producer process)", folder / "enqueue.svg")
    bars(
        peers,
        "lat_p99",
        "Pickup by an idle worker, p99, ms (log scale)",
        folder / "pickup.svg",
        least_first=True,
        log=True,
    )
    bars(peers, "cpu_us", "Redis CPU a job, µs, enqueue and process", folder / "redis-cpu.svg", least_first=True)
    curve(
        scenarios["workers"],
        "workers",
        "jobs_per_s",
        "Jobs a second by worker processes on one queue",
        folder / "workers.svg",
    )
    curve(
        scenarios["queues"],
        "queues",
        "jobs_per_s",
        "Jobs a second by queues in one Redis",
        folder / "queues.svg",
        log_x=True,
    )
    curve(scenarios["memory"], "jobs", "rss_mib", "Resident memory of one worker, MiB", folder / "memory.svg")


if __name__ == "__main__":
    main()
