"""What a script asks of Redis, by its text."""

from __future__ import annotations

import re


def commands_of(text: str) -> set[str]:
    """The commands that a script calls; those that stand in a table, too."""
    return set(re.findall(r"redis\.p?call\(\s*'([A-Z]+)'", text)) | set(re.findall(r"\{ '([A-Z]{4,})', ':", text))
