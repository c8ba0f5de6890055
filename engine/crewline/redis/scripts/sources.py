"""The scripts' texts."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

#: The folders of scripts, by what they are for; ``lib`` holds what they include.
GROUPS = ("add", "work", "change", "queue", "upkeep")

_include = re.compile(r"^-- @include ([\w/]+)\n", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of a script, its includes put in."""
    folder = files("crewline.redis.scripts")
    group = next(group for group in GROUPS if (folder / group / f"{name}.lua").is_file())
    put_in: set[str] = set()

    def include(match: re.Match[str]) -> str:
        if match[1] in put_in:
            return ""
        put_in.add(match[1])
        return _include.sub(include, (folder / "lib" / f"{match[1]}.lua").read_text())

    return _include.sub(include, (folder / group / f"{name}.lua").read_text())


@cache
def sha(name: str) -> str:
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()
