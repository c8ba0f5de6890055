#!/usr/bin/env python3
"""Measures Redis-backed job queues side by side.  See README.md.

    python bench/run.py [--peers a,b] [--repeat 3] [--tune] [--no-limits]

Needs only the standard library; each peer runs in its own environment, made by
setup.sh under $BENCH_HOME.
"""

from __future__ import annotations

import argparse
import datetime
import json
import signal
import statistics
import sys
import time
from pathlib import Path

from limits import limits
from measures import Failed, count_commands, measure, tune, versions
from report import report
from server import Server, machine
from settings import HERE, PEERS, N


def run(s: Server, name: str, d: dict, label: str) -> None:
    """One repeat of one peer, into its record ``d``."""
    try:
        d.setdefault("versions", versions(name))
        t = time.monotonic()
        m = measure(s, name, d["settings"])
    except Failed as e:
        d["error"] = str(e)
        print(f"{name}: {e}", file=sys.stderr, flush=True)
        return
    d["runs"].append(m)
    print(
        f"{name} {label}: enqueue {m['enqueue']:.0f}/s, process {m['process']:.0f}/s, "
        f"sleep {m['sleep_wall']:.2f} s, p50 {m['lat_p50']:.2f} ms ({time.monotonic() - t:.0f} s)",
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument(
        "--peers",
        default=",".join(k for k, p in PEERS.items() if not p.get("optional")),
        help="comma-separated: " + ", ".join(PEERS),
    )
    ap.add_argument("--repeat", type=int, default=3)
    ap.add_argument(
        "--tune", action="store_true", help="look for each peer's best settings first, and write tuned.json"
    )
    ap.add_argument("--only-tune", action="store_true", help="stop after tuning")
    ap.add_argument("--no-limits", action="store_true", help="leave redis-benchmark out")
    ap.add_argument("--out", help="results file (default results/DATE.json)")
    a = ap.parse_args()
    names = [x for x in a.peers.split(",") if x]
    for x in names:
        if x not in PEERS:
            ap.error(f"unknown peer {x}")
    tuned_file = HERE / "tuned.json"
    tuned = json.loads(tuned_file.read_text()) if tuned_file.exists() else {}

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what we started is ended
    s = Server()
    try:
        doc = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "repeat": a.repeat,
            "n": N,
            "machine": machine(s),
            "peers": {},
            "limits": [],
        }
        if a.tune or a.only_tune:
            for x in names:
                tuned[x] = tune(s, x)
                tuned_file.write_text(
                    "{\n"
                    + ",\n".join(f" {json.dumps(k)}: {json.dumps(tuned[k])}" for k in PEERS if k in tuned)
                    + "\n}\n"
                )
            if a.only_tune:
                return
        if not a.no_limits:
            print("limits", file=sys.stderr, flush=True)
            doc["limits"] = limits(s, a.repeat)
        for x in names:
            p = PEERS[x]
            set_ = tuned.get(x) or {
                "conc": p["try_conc"][-1],
                "opts": {**p.get("try_enqueue", [{}])[-1], **p.get("try_opts", [{}])[0]},
            }
            d: dict = {
                "guarantee": p["guarantee"],
                "state": p["state"],
                "settings": {k: v for k, v in set_.items() if k != "tried"},
                "runs": [],
            }
            doc["peers"][x] = d
        # round by round, so that a machine that grows slower or faster does it to all
        for k in range(a.repeat):
            for x, d in doc["peers"].items():
                if "error" not in d:
                    run(s, x, d, f"{k + 1}/{a.repeat}")
        for x, d in doc["peers"].items():
            if "error" not in d:
                d["commands"] = count_commands(s, x, d["settings"])
                d["median"] = {
                    k: statistics.median(r[k] for r in d["runs"])
                    for k, v in d["runs"][0].items()
                    if isinstance(v, (int, float))
                }
    finally:
        s.stop()
    out = Path(a.out) if a.out else HERE / "results" / (doc["date"][:10] + ".json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(doc, indent=1) + "\n")
    print(report(doc))


if __name__ == "__main__":
    main()
