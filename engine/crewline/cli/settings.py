"""``crewline settings``: what a queue's workers follow, and which of them do."""

from __future__ import annotations

from typing import Any

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.opening import opened
from crewline.cli.printing import tell, to_json
from crewline.cli.tables import Column, Table, draw
from crewline.wire.jsonio import loads


def settings(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    as_json: JsonOption = False,
) -> None:
    """Show what a queue's workers follow while they run, and which of them do.

    Example: [bold]crewline settings -q emails[/bold]
    """

    async def read() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with opened(queue, redis, prefix) as target:
            told: dict[str, Any] = loads((await target.settings()).to_json(), "settings")
            return told, await target.workers()

    found, workers = run(read(), redis)
    applied = {str(each.get("name")): _applied(each) for each in workers}
    if as_json:
        tell(to_json({"queue": queue, "settings": found, "workers": applied}))
        return
    table = Table([Column("setting"), Column("value")])
    for name, value in found.items():
        table.add(name, to_json(value))
    draw(table)
    if applied:
        table = Table([Column("worker"), Column("follows"), Column("refused", whole=False, rare=True)])
        for name, each in applied.items():
            table.add(name, f"generation {each['generation']}", "; ".join(map(str, each["refused"])))
        draw(table)


def _applied(worker: dict[str, Any]) -> dict[str, Any]:
    refused = worker.get("refused")
    return {"generation": worker.get("settings"), "refused": refused if isinstance(refused, list) else []}
