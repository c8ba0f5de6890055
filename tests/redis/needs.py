"""What scripts ask of Redis, by their texts."""

from __future__ import annotations

import re
from importlib.resources import files

from crewline.redis import scripts
from crewline.redis.scripts import source


def commands_of(text: str) -> set[str]:
    """The commands that a script calls; those that stand in a table, too."""
    return set(re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text)) | set(re.findall(r"\{ '([A-Z]{4,})', ':", text))


def names_in(*groups: str) -> list[str]:
    """The scripts in these folders."""
    return sorted(path.name.removesuffix(".lua") for group in groups for path in (files(scripts) / group).iterdir())


def commands(*names: str) -> set[str]:
    """What these scripts call."""
    return set().union(*(commands_of(source(name)) for name in names))


ALL = commands(*names_in(*scripts.GROUPS))
#: What a worker calls, for its jobs and for its queue.
OF_WORKERS = commands(*names_in("work", "upkeep"), "continue_schedule")
