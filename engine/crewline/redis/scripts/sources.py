"""The scripts' texts."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

#: The folders of scripts, by what they are for; ``lib`` holds what they include.
GROUPS = ("add", "work", "change", "queue", "upkeep")

#: Includes that follow each other: all are in one block.
_includes = re.compile(r"^( *)-- @include [\w/]+\n(?:\1-- @include [\w/]+\n)*", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of a script, its includes put in.

    What an include at the beginning of a line puts in is known to all that follows. One that is indented stands in a
    function, or a block of it: what it puts in is made when that is reached, and known there only. Most calls need few
    of a script's functions, and each that is made costs as much as half a command.
    """
    folder = files("crewline.redis.scripts")
    group = next(group for group in GROUPS if (folder / group / f"{name}.lua").is_file())

    def put_in(text: str, known: set[str]) -> str:
        def include(match: re.Match[str]) -> str:
            inside = set(known) if match[1] else known
            parts = []
            for line in match[0].splitlines():
                part = line.split()[-1]
                if part not in inside:
                    inside.add(part)
                    parts.append(put_in((folder / "lib" / f"{part}.lua").read_text(), inside))
            return "".join(parts)

        return _includes.sub(include, text)

    return put_in((folder / group / f"{name}.lua").read_text(), set())


@cache
def sha(name: str) -> str:
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()
