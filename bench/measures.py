"""Runs one peer through the measures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

from server import Monitor, Server
from settings import HERE, HOME, INTERVAL_MS, N_COUNT, N_LAT, N_SLEEP, N_TUNE, PEERS, SLEEP_CONC, SLEEP_MS, WARM, N


class Failed(Exception):
    pass


class Role:
    """One adapter process in one role; its last RESULT line is the result."""

    def __init__(self, name: str, role: str, cfg: dict, extra: list[str] | None = None) -> None:
        p = PEERS[name]
        path = str(HERE / "peers" / p["file"])
        if p["venv"] == "node":
            argv = ["node", path]
        else:
            argv = [str(HOME / "venvs" / p["venv"] / "bin" / "python"), "-P", path]
        self.what = f"{name} {role}"
        (HOME / "logs").mkdir(parents=True, exist_ok=True)
        self.log = HOME / "logs" / f"{name}-{role}.log"
        env = dict(os.environ, BENCH_HOME=str(HOME), NODE_ENV="production")
        cfg = dict(cfg, variant=name, sleep_ms=SLEEP_MS, interval_ms=INTERVAL_MS)
        with open(self.log, "wb") as err:
            self.proc = subprocess.Popen(
                [*argv, role, json.dumps(cfg), *(extra or [])],
                stdout=subprocess.PIPE,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
                cwd=HOME,
            )

    def result(self, timeout: float) -> dict:
        timer = threading.Timer(timeout, self.kill)
        timer.start()
        try:
            for line in self.proc.stdout:
                if line.startswith(b"RESULT "):
                    return json.loads(line[7:])
        finally:
            timer.cancel()
            self.kill()
        tail = self.log.read_text(errors="replace")[-600:]
        raise Failed(f"{self.what}: no result in {timeout:.0f} s, or it ended early; {tail}")

    def kill(self) -> None:
        """Ends this process's own group (a pool's children are in it)."""
        if self.proc.returncode is not None:
            return
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.proc.wait()


def check(res: dict, n: int, what: str) -> int:
    """Every job was handled (the worker role waits for that); how many more than once."""
    dups = res["handled"] - n
    if dups < 0 or n - res["once"] > max(3, n // 1000):
        raise Failed(f"{what}: {res['handled']} handler calls, {res['once']} jobs handled exactly once, want {n}")
    if dups:
        print(f"  {what}: {dups} of {n} jobs handled twice", file=sys.stderr, flush=True)
    return dups


def enqueue(s: Server, name: str, set_: dict, n: int, kind: str = "noop") -> float:
    cfg = dict(port=s.port, n=n, kind=kind, opts=set_["opts"])
    r = Role(name, "enqueue", cfg).result(60 + n / 50)
    return n / ((r["t1"] - r["t0"]) / 1e9)


def work(s: Server, name: str, n: int, conc: int, opts: dict, limit: float) -> dict:
    r = Role(name, "worker", dict(port=s.port, n=n, concurrency=conc, opts=opts)).result(limit)
    r["dups"] = check(r, n, f"{name} worker")
    return r


def seconds(r: dict) -> float:
    return (max(r["acked"], r["last_end"]) - r["first_start"]) / 1e9


def measure(s: Server, name: str, set_: dict) -> dict:
    """One repeat of all measures of one peer."""
    p, out = PEERS[name], {}

    # (a) enqueue, (b) process, (e) memory and cpu
    s.flush()
    mem0, cpu0 = s.memory(), s.cpu()
    out["enqueue"] = enqueue(s, name, set_, N)
    out["bytes_waiting"] = (s.memory() - mem0) / N
    cpu1 = s.cpu()
    r = work(s, name, N, set_["conc"], set_["opts"], 600)
    cpu2, calls, reads = s.cpu(), s.calls(), s.reads()
    out["handled"], out["duplicates"] = r["handled"], r["dups"]
    out["process"] = N / seconds(r)
    out["ack_tail_ms"] = (r["acked"] - r["last_end"]) / 1e6
    out["cpu_us"] = (cpu2 - cpu0) / N * 1e6
    out["cpu_us_process"] = (cpu2 - cpu1) / N * 1e6
    drop = ("info", "config|resetstat", "ping")
    out["calls"] = sum(v for k, v in calls.items() if k not in drop) / N
    out["reads"] = reads / N
    out["calls_by_name"] = {k: round(v / N, 2) for k, v in sorted(calls.items()) if v / N >= 0.05}
    out["bytes_done"] = (s.memory() - mem0) / N

    # the same jobs waiting, with hashes kept compact up to the size that Crewline's manifests set
    s.flush()
    s.r("CONFIG", "SET", "hash-max-listpack-value", "1024")
    mem0 = s.memory()
    enqueue(s, name, set_, N)
    out["bytes_waiting_1024"] = (s.memory() - mem0) / N
    s.r("CONFIG", "SET", "hash-max-listpack-value", "64")

    # (c) sleeping jobs
    s.flush()
    n, conc = p.get("sleep_n", N_SLEEP), p.get("sleep_conc", SLEEP_CONC)
    enqueue(s, name, set_, n, "nap")
    opts = {**set_["opts"], **p.get("sleep_opts", {}), **set_.get("sleep_opts", {})}
    r = work(s, name, n, conc, opts, 300)
    wall = seconds(r)
    out["duplicates"] += r["dups"]
    out["sleep_wall"] = wall * N_SLEEP / n
    out["sleep_efficiency"] = n * SLEEP_MS / 1000 / SLEEP_CONC / wall

    # (d) pickup latency
    s.flush()
    cfg = dict(port=s.port, n=N_LAT, warm=WARM, concurrency=set_["conc"], opts=set_["opts"], want_starts=True)
    w = Role(name, "worker", cfg)
    try:
        time.sleep(4)  # boots, connects and idles
        stamps = Role(name, "latency", dict(port=s.port, n=N_LAT, warm=WARM, opts=set_["opts"])).result(60)["stamps"]
    except BaseException:
        w.kill()
        raise
    r = w.result(30)
    out["duplicates"] += check(r, N_LAT + WARM, f"{name} latency")
    lat = sorted((b - a) / 1e6 for a, b in zip(stamps[:N_LAT], r["starts"][:N_LAT]))
    out["lat_p50"], out["lat_p99"], out["lat_max"] = lat[N_LAT // 2], lat[int(N_LAT * 0.99) - 1], lat[-1]
    return out


def count_commands(s: Server, name: str, set_: dict) -> dict:
    """A slow pass under MONITOR that tells top-level calls from script-made ones."""
    s.flush()
    m = Monitor(s.port)
    enqueue(s, name, set_, N_COUNT)
    work(s, name, N_COUNT, set_["conc"], set_["opts"], 300)
    top, lua = m.stop()
    return {"top": top / N_COUNT, "in_script": lua / N_COUNT}


def tune(s: Server, name: str) -> dict:
    """The fastest of the settings to try: enqueueing first, then draining, N_TUNE jobs each."""
    p, tried = PEERS[name], []

    def best(sets: list[dict], rate_of) -> dict:
        top = (0.0, {})
        for x in sets:
            s.flush()
            try:
                rate = rate_of(x)
            except Failed as e:
                print(f"  {name} {x}: {e}", file=sys.stderr, flush=True)
                continue
            tried.append([x, round(rate)])
            print(f"  {name} {x}: {rate:.0f}/s", file=sys.stderr, flush=True)
            top = max(top, (rate, x), key=lambda y: y[0])
        if not top[0]:
            raise Failed(f"{name}: no setting worked")
        return top[1]

    def drain(x: dict) -> float:
        enqueue(s, name, {"opts": enq}, N_TUNE)
        return N_TUNE / seconds(work(s, name, N_TUNE, x["conc"], {**enq, **x["opts"]}, 120))

    enq = best(p.get("try_enqueue", [{}]), lambda x: enqueue(s, name, {"opts": x}, N_TUNE))
    sets = [
        {"conc": k, "opts": o}
        for o in p.get("try_opts", [{}])
        for k in p["try_conc"]
        if not (o.get("pool") in ("solo", "prefork") and k != 1)
    ]  # one process
    x = best(sets, drain)
    return {"conc": x["conc"], "opts": {**enq, **x["opts"]}, "tried": tried}


def versions(name: str) -> dict:
    pkgs = PEERS[name].get("pkgs")
    return Role(name, "version", {}, pkgs).result(30) if pkgs else {}
