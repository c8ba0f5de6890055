"""What a script's header says of its arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass

from crewline.redis.scripts import source


@dataclass(frozen=True)
class Arguments:
    """ARGV as a header lists it.

    Attributes:
        named: name of each argument that is there once, from number 1.
        told: all that is said of each of them, by number.
        strides: how many arguments each thing has that may come often, in their order.
    """

    named: tuple[str, ...]
    told: dict[int, str]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, script: str) -> Arguments:
        header = source(script).split("]]")[0]
        listed = re.search(r"^ARGV\s+(.*?)^Returns", header, re.MULTILINE | re.DOTALL)
        assert listed, f"{script}.lua's header has no ARGV before Returns"
        named, at = [], []
        for match in re.finditer(r"(?:^\s*|(?<=, ))(\d+) +([^,;:\n]+?)(?=[,;:]|  |\n|$)", listed[1], re.MULTILINE):
            # other numbers stand in what is said of an argument
            if int(match[1]) == len(named) + 1:
                named.append(match[2])
                at.append(match.start())
        told = {n: listed[1][start:end] for n, (start, end) in enumerate(zip(at, [*at[1:], None], strict=True), 1)}
        return cls(tuple(named), told, tuple(_stride(each) for each in re.findall(r"\bthen ([^\n]*)", listed[1])))


def _stride(text: str) -> int:
    """Of "9 a job", "id, token, started a job", "the ids"."""
    if counted := re.match(r"(\d+) a \w+", text):
        return int(counted[1])
    if listed := re.match(r"(\w+(?:, \w+)+) a \w+", text):
        return len(listed[1].split(", "))
    assert text.startswith("the "), f"what comes often is not told in a way that can be checked: {text!r}"
    return 1
