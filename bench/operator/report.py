"""Tables of what was measured."""

from __future__ import annotations

from typing import Any

WAKE = "add on a queue at zero -> replicas 0 -> 1 patched"
TITLES = {
    "wake-one": f"{WAKE}, 1 queue",
    "wake-many": f"{WAKE}, one of many queues",
    "backlog": "backlog of 1,000 -> replicas 1 -> 10 patched",
    "created": "JobQueues created -> all Ready",
    "idle": "idle",
}


def markdown(result: dict[str, Any]) -> str:
    """One row a measure."""
    lines = ["| measure | queues | measured | operator / all else, cores |", "|---|---:|---|---:|"]
    for row in result["rows"]:
        load = f"{row['operator_cores']:.2f} / {row['other_cores']:.2f}"
        lines.append(f"| {TITLES[row['measure']]} | {row['queues']:,} | {_measured(row)} | {load} |")
    machine = result["machine"]
    lines += ["", f"{machine['cores']} cores, Python {machine['python']}, jobs added by {result['producer']}."]
    return "\n".join(lines)


def _measured(row: dict[str, Any]) -> str:
    if "p50_ms" in row:
        times = f"p50 {row['p50_ms']:.0f} ms, p99 {row['p99_ms']:.0f} ms, longest {row['max_ms']:.0f} ms"
        return f"{times} of {row['samples']}"
    if "ready_seconds" in row:
        return f"{row['ready_seconds']:.1f} s, the last one created after {row['created_seconds']:.1f} s"
    return (
        f"{row['cores']:.3f} cores, {row['rss_mib']:.0f} MiB, {row['redis_connections']} Redis connections, "
        f"{row['api_writes_a_minute']:.1f} API writes a minute"
    )


PODS_TITLES = {
    "apply": "JobQueue applied -> its first job done, code in a ConfigMap",
    "wake": "add on a queue at zero -> that job done, code in the image",
    "wake-code": "the same, code in a ConfigMap",
    "ten-pods": "replicas 0 -> 10 patched -> the last pod's first job begun",
    "scale-ins-external": "scale-ins of busy workers, mode External",
    "scale-ins-operator": "the same, mode Operator",
}


def pods_markdown(rows: list[dict[str, Any]]) -> str:
    """One row a measure, of those with real pods."""
    lines = ["| measure | measured |", "|---|---|"]
    for row in rows:
        if "p50_ms" in row:
            seconds = [row[name] / 1000 for name in ("p50_ms", "p99_ms", "max_ms")]
            measured = "p50 {:.2f} s, p99 {:.2f} s, longest {:.2f} s".format(*seconds) + f" of {row['samples']}"
        else:
            measured = f"{row['interrupted']} of {row['jobs']} jobs interrupted in {row['scale_ins']} scale-ins"
        lines.append(f"| {PODS_TITLES[row['measure']]} | {measured} |")
    return "\n".join(lines)
