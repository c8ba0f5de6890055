"""The results as markdown tables."""

from __future__ import annotations

from settings import PEERS


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(r) + " |" for r in rows])


def rows_table(rows: list[dict]) -> str:
    """A table of rows that name their columns."""
    names = list(dict.fromkeys(name for row in rows for name in row if name != "all"))
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |", "|" + " ---: |" * len(names)]
    for row in rows:
        cells = [f"{row[name]:,.1f}" if isinstance(row.get(name), float) else str(row.get(name, "")) for name in names]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def setting(t: dict) -> str:
    opts = ", ".join(f"{k}={v}" for k, v in t["opts"].items())
    return f"{t['conc']}" + (f", {opts}" if opts else "")


def report(doc: dict) -> str:
    one, two, three = [], [], []
    for name, d in doc["peers"].items():
        if "error" in d:
            one.append([name, "failed: " + d["error"].splitlines()[0][:80]] + [""] * 7)
            continue
        m, t, p = d["median"], d["settings"], PEERS[name]
        mark = "≈" if p.get("sleep_n") else ""
        one.append(
            [
                name,
                f"{m['enqueue']:,.0f}",
                f"{m['process']:,.0f}",
                setting(t),
                f"{mark}{m['sleep_wall']:.2f}",
                f"{m['sleep_efficiency'] * 100:.0f} %",
                f"{m['lat_p50']:.2f} / {m['lat_p99']:.2f} / {m['lat_max']:.2f}",
                p["guarantee"],
                p["state"],
            ]
        )
        two.append(
            [
                name,
                f"{m['bytes_waiting']:,.0f}",
                f"{m['bytes_waiting_1024']:,.0f}",
                f"{m['bytes_done']:,.0f}",
                f"{m['calls']:.1f}",
                f"{d['commands']['top']:.1f}",
                f"{d['commands']['in_script']:.1f}",
                f"{m['reads']:.2f}",
                f"{m['cpu_us']:.0f}",
            ]
        )
    for r in doc["limits"]:
        three.append([r["what"], str(r["clients"]), str(r["depth"]), f"{r['per_s']:,.0f}"])
    parts = [
        table(
            [
                "peer",
                "enqueue jobs/s",
                "process jobs/s",
                "worker concurrency, options",
                "2,000 × 50 ms, s",
                "of ideal",
                "pickup ms p50 / p99 / max",
                "guarantee",
                "state kept",
            ],
            one,
        ),
        table(
            [
                "peer",
                "bytes/waiting job",
                "listpack 1024",
                "bytes/finished job",
                "calls/job",
                "sent by clients",
                "inside scripts",
                "socket reads/job",
                "redis CPU µs/job",
            ],
            two,
        ),
    ]
    if three:
        parts.append(table(["redis-benchmark", "clients", "pipeline", "per s"], three))
    dups = {n: sum(r["duplicates"] for r in d["runs"]) for n, d in doc["peers"].items()}
    dups = ", ".join(f"{n} {k}" for n, k in dups.items() if k)
    parts.append("Each job of every run was handled; handled twice: " + (dups or "none") + ".")
    vers = [
        f"{n}: " + ", ".join(f"{k} {v}" for k, v in d["versions"].items())
        for n, d in doc["peers"].items()
        if d.get("versions")
    ]
    mach = doc["machine"]
    parts.append(
        f"{mach['cpu']}, {mach['cores']} cores, {mach['os']}, redis-server {mach['redis']} over TCP 127.0.0.1; "
        f"median of {doc['repeat']}. " + "; ".join(vers)
    )
    return "\n\n".join(parts)
