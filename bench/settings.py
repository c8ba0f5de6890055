"""Which peers there are, and how large the measures are."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
HOME = Path(os.environ.get("BENCH_HOME") or Path(tempfile.gettempdir()) / "bench")

N = int(os.environ.get("BENCH_N", 20_000))
N_SLEEP, SLEEP_MS, SLEEP_CONC = 2_000, 50, 100
N_LAT, WARM, INTERVAL_MS = 200, 10, 20
N_COUNT = 2_000  # for the pass that counts commands under MONITOR
N_TUNE = 6_000

# variant -> adapter file, environment, packages whose versions are reported,
# delivery guarantee and state kept at these settings, and what --tune tries.
# sleep_n: fewer sleeping jobs where the peer runs one job at a time (the time is
# then scaled to N_SLEEP and marked).  sleep_opts: what the sleeping jobs need.
# KEPT: a job whose worker died is found and marked (aborted, failed), and run again
# only if it was enqueued with retries.
AL, AM, KEPT = "at-least-once", "at-most-once", "at-most-once, kept"
PY = ["redis", "hiredis"]
GATHER = [{"gather": k} for k in (10, 20, 50, 100)]
BATCH = [{"batch": k} for k in (100, 500, 1000, 5000)]
POOLS = [{"pool": k} for k in ("prefork", "solo", "threads", "gevent")]
PEERS: dict[str, dict[str, Any]] = {
    "crewline": dict(
        file="crewline.py",
        venv="crewline",
        pkgs=["crewline", *PY, "uvloop"],
        guarantee=AL,
        state="job hash, for ever",
        try_conc=[50, 100, 200],
    ),
    "crewline-thread": dict(
        file="crewline.py", venv="crewline", guarantee=AL, state="job hash, for ever", try_conc=[50, 100, 200]
    ),
    "bullmq-node": dict(
        file="bullmq.mjs",
        venv="node",
        pkgs=["bullmq", "ioredis"],
        guarantee=AL,
        state="job hash, for ever",
        try_enqueue=BATCH,
        try_conc=[10, 50, 100, 200],
        try_opts=[{}, {"autopipeline": True}],
    ),
    "bullmq-py": dict(
        file="bullmq_py.py",
        venv="bullmq_py",
        pkgs=["bullmq", *PY, "uvloop"],
        guarantee=AL,
        state="job hash, for ever",
        try_enqueue=BATCH,
        try_conc=[10, 50, 100],
    ),
    "saq": dict(
        file="saq.py",
        venv="saq",
        pkgs=["saq", *PY, "uvloop"],
        guarantee=KEPT,
        state="job key, 10 min",
        try_enqueue=GATHER,
        try_conc=[10, 50, 100],
    ),
    "streaq": dict(
        file="streaq.py",
        venv="streaq",
        pkgs=["streaq", "coredis", "uvloop"],
        guarantee=AL,
        state="result, 5 min",
        try_enqueue=BATCH,
        try_conc=[10, 16, 50, 100],
    ),
    "taskiq-stream": dict(
        file="taskiq.py",
        venv="taskiq",
        pkgs=["taskiq", "taskiq-redis", *PY, "uvloop"],
        guarantee=AL,
        state="none (default); stream entry stays",
        try_enqueue=GATHER,
        try_conc=[10, 50, 100],
        try_opts=[{}, {"prefetch": 100}],
    ),
    "taskiq-stream-res": dict(
        file="taskiq.py",
        venv="taskiq",
        guarantee=AL,
        state="result, for ever; stream entry stays",
        try_enqueue=GATHER,
        try_conc=[10, 50, 100],
        try_opts=[{}, {"prefetch": 100}],
    ),
    "taskiq-list": dict(
        file="taskiq.py",
        venv="taskiq",
        guarantee=AM,
        state="none (default)",
        try_enqueue=GATHER,
        try_conc=[10, 50, 100],
        try_opts=[{}, {"prefetch": 100}],
    ),
    "dramatiq": dict(
        file="dramatiq.py",
        venv="dramatiq",
        pkgs=["dramatiq", *PY],
        guarantee=AL,
        state="none (default)",
        sleep_opts={"prefetch": 200},
        try_conc=[1, 4, 8, 16],
        try_opts=[{}, {"prefetch": 100}],
    ),
    "celery": dict(
        file="celery.py",
        venv="celery",
        pkgs=["celery", "kombu", *PY, "gevent"],
        guarantee=AM + ", acked early",
        state="none (default)",
        sleep_opts={"pool": "threads"},
        try_enqueue=[{"batch": 0}, {"batch": 1000}],
        try_conc=[1, 8, 100],
        try_opts=POOLS,
    ),
    "celery-late": dict(
        file="celery.py",
        venv="celery",
        guarantee=AL,
        state="result, 1 day",
        sleep_opts={"pool": "threads"},
        try_enqueue=[{"batch": 0}, {"batch": 1000}],
        try_conc=[1, 8, 100],
        try_opts=POOLS,
    ),
    "rq": dict(
        file="rq.py",
        venv="rq",
        pkgs=["rq", *PY],
        guarantee=KEPT,
        state="job hash + result, 500 s",
        try_enqueue=BATCH,
        try_conc=[1],
        sleep_n=100,
        sleep_conc=1,
    ),
    "rq-fork": dict(
        file="rq.py",
        venv="rq",
        guarantee=KEPT,
        state="job hash + result, 500 s",
        optional=True,
        try_enqueue=BATCH,
        try_conc=[1],
        sleep_n=100,
        sleep_conc=1,
    ),
    "arq": dict(
        file="arq.py",
        venv="arq",
        pkgs=["arq", *PY, "uvloop"],
        guarantee=AL,
        state="result, 1 h",
        try_enqueue=GATHER,
        try_conc=[10, 50, 100],
        try_opts=[{"poll": 0.01}, {"poll": 0.001}],
    ),
    "arq-default": dict(
        file="arq.py", venv="arq", guarantee=AL, state="result, 1 h", try_enqueue=GATHER, try_conc=[100]
    ),
    "huey": dict(
        file="huey.py",
        venv="huey",
        pkgs=["huey", *PY, "gevent"],
        guarantee=AM,
        state="result, until read",
        sleep_opts={"type": "greenlet"},
        try_conc=[1, 4, 8, 50],
        try_opts=[{"type": "thread"}, {"type": "greenlet"}],
    ),
}
