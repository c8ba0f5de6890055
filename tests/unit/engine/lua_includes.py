"""What scripts and pieces use that is made elsewhere, beside what they include themselves.

A name that only another piece's include brings in is gone once that piece is mended.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from crewline.redis import scripts

from tests.unit.engine.lua_names import unmade

#: What each script begins with.
FIRST = "base/keys"

_include = re.compile(r"^ *-- @include ([\w/]+)$", re.MULTILINE)
_made = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)", re.MULTILINE)


def texts_of_scripts() -> dict[str, str]:
    """By group and name."""
    return {
        f"{group}/{path.name.removesuffix('.lua')}": path.read_text()
        for group in scripts.GROUPS for path in (files(scripts) / group).iterdir()
    }  # fmt: skip


def texts_of_pieces() -> dict[str, str]:
    """By folder and name, as they are included."""
    return {
        f"{folder.name}/{path.name.removesuffix('.lua')}": path.read_text()
        for folder in (files(scripts) / "lib").iterdir() for path in folder.iterdir()
    }  # fmt: skip


def included(text: str) -> list[str]:
    return _include.findall(text)


def made_by(piece: str) -> set[str]:
    """The names that a piece gives to whoever includes it."""
    return {name for names in _made.findall(piece) for name in names.split(", ")}


def acts(piece: str) -> bool:
    """Whether a piece does something where it is put in."""
    return re.search(r"^redis\.", piece, re.MULTILINE) is not None


def lacking(text: str, pieces: Mapping[str, str]) -> list[str]:
    """Names that a text uses and does not make, nor what it includes."""
    known = set().union(*(made_by(pieces[each]) for each in (FIRST, *included(text))))
    return sorted({name for name in unmade(text) if name.isidentifier()} - known)


def needless(text: str, pieces: Mapping[str, str]) -> list[str]:
    """What a text includes and uses nothing of."""
    used = set(unmade(text))
    return [each for each in included(text) if not acts(pieces[each]) and not made_by(pieces[each]) & used]
