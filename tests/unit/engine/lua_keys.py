"""Which keys a script touches, as far as its text tells, and which of them it should have declared.

Redis wants a script's keys declared. Ours share one hash slot, and some cannot be known beforehand. The rule:

- a queue's own keys come from KEYS, through the table `q` of lib/keys.lua; another queue's through `queue_at`;
- built inside may be: a job's keys (base and an id, then one of `PARTS`), what is named after a deduplication id or a
  schedule (`FAMILIES`), and the few keys of a queue that only some scripts need (`SELDOM`);
- another job's key, which a job holds, comes with the job (`LINKS`);
- our additions, outside the base, are passed as ARGV, and the header says so ("of our own"), or named by own_key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from crewline.wire.keys import DECLARED

#: A job's keys beside its hash; ':' parts ids, ':data' belongs to metrics, ':gone' stands in a list for what goes.
PARTS = {":lock", ":logs", ":dependencies", ":processed", ":failed", ":unsuccessful", ":data", ":", ":gone"}
#: What keys begin with that are named after something that only the caller knows.
FAMILIES = {"de:", "dn:", "repeat:", "metrics:"}
#: Keys of a queue that most calls never touch: to declare them would send them with every call.
SELDOM = {
    "repeat", "stalled-check",
    "metrics:completed", "metrics:completed:data", "metrics:failed", "metrics:failed:data",
}  # fmt: skip
#: Where add_job is told a job's parent, by its key.
LINKS = {"extra.parentKey"}
#: Names that stand for a queue's base, and for the id of a job.
BASES = {"base", "other", "owner"}
IDS = {"id", "own", "holder", "current", "letter_id", "ids", "due", "ARGV", "numbers"}
#: Commands all of whose arguments are keys, and one without any.
ALL_KEYS, NO_KEYS = {"DEL", "EXISTS", "MGET", "UNLINK"}, {"TIME"}

_TOKEN = re.compile(
    r"--\[\[.*?\]\]|--[^\n]*|(?P<string>'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    r"|(?P<other>[A-Za-z_]\w*|\d+|\.\.\.?|[^\s\w])",
    re.DOTALL,
)


def undeclared(text: str, argv: dict[int, str]) -> list[str]:
    """What in a script's text touches a key against the rule.

    Args:
        text: the script, its includes put in.
        argv: what the header says of each argument, by number.
    """
    tokens = [match["string"] or match["other"] for match in _TOKEN.finditer(text) if match["string"] or match["other"]]
    return [*_built(tokens, argv), *_touched(tokens, argv)]


def _built(tokens: list[str], argv: dict[int, str]) -> Iterator[str]:
    """Keys that are put together."""
    for i, token in enumerate(tokens[:-2]):
        if re.fullmatch(r"':[a-z-]*'", token) and token[1:-1] not in PARTS:
            yield f"{token} is no key that a job has"
        if token not in BASES or tokens[i + 1] != "..":
            continue
        part, more = tokens[i + 2], tokens[i + 3] == ".."
        if part[0] != "'":
            if part not in IDS and tokens[i + 3 : i + 5] != [".", "id"] and not _is_state(part, argv):
                yield f"{token} .. {part}: no reader can tell that {part} is the id of a job"
        elif token == "other":
            if part[1:-1] not in DECLARED:
                yield f"queue_at names {part}, which is not declared for the called queue"
        elif not (part[1:-1] in FAMILIES and more) and part[1:-1] not in SELDOM and part != "':'":
            yield f"{token} .. {part} is a key to declare (crewline.wire.keys.DECLARED) and to take from KEYS"


def _is_state(name: str, argv: dict[int, str]) -> bool:
    """Whether that is an argument which, as the header says, names one of the declared keys and nothing else."""
    told = next((re.sub(r"\d+", "", told).split() for told in argv.values() if told.split()[1] == name), [name])
    return bool(told[1:]) and {word.strip(",") for word in told[1:]} - {"or"} <= set(DECLARED)


def _touched(tokens: list[str], argv: dict[int, str]) -> Iterator[str]:
    """Keys as they are given to commands."""
    fields = {tokens[i - 1] for i in range(len(tokens)) if tokens[i : i + 2] == ["=", "KEYS"]}
    for i in range(len(tokens) - 4):
        if tokens[i : i + 2] != ["redis", "."] or tokens[i + 2] not in ("call", "pcall"):
            continue
        command, *arguments = _arguments(tokens, i + 3)
        if command[0].strip("'") in NO_KEYS:
            continue
        for key in arguments if command[0].strip("'") in ALL_KEYS else arguments[:1]:
            shown = "".join(key)
            origin = _origin(tokens[:i], key)
            if origin[0][0] in "'\"" and len(origin) == 1:
                yield f"{shown} is a key of its own making"
            elif origin[0] == "ARGV" and len(origin) == 4:
                said = argv.get(int(origin[2]), "")
                if not re.search(r"\bown\b|\"stalled-check\"", said):
                    yield f"{shown}: the header does not say of argument {origin[2]} that it is a key of our own"
            elif len(key) == 3 and key[1] == "." and key[2] not in fields and shown not in LINKS:
                yield f"{shown} is no key of lib/keys.lua"


def _arguments(tokens: list[str], at: int) -> list[list[str]]:
    """The arguments of the call whose bracket is at ``at``."""
    depth, parts = 0, [[]]  # type: tuple[int, list[list[str]]]
    for token in tokens[at:]:
        depth += (token in "([{") - (token in ")]}")
        if depth == 0:
            break
        if depth == 1 and token == ",":
            parts.append([])
        elif depth > 1 or token not in "([{":
            parts[-1].append(token)
    return parts


def _origin(before: list[str], key: list[str]) -> list[str]:
    """What a name was last set to, if its own statement tells; else the key itself."""
    if len(key) != 1 or not key[0].isidentifier():
        return key
    for i in range(len(before) - 2, 0, -1):
        if before[i] == key[0] and before[i - 1] == "local" and before[i + 1] == "=":
            end = next((j for j in range(i + 2, len(before)) if before[j] in ("local", "if", "for", "redis")), i + 6)
            return before[i + 2 : end] or key
    return key
