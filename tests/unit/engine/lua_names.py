"""Which names a script uses that nothing above them, in their block or around it, has made, or that hide a function.

Redis tells of such a name only when a call comes to it, and the script then ends half-way. A local that has a
function's name hides it from what is included below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: What Redis gives a script: the libraries, and what it was called with.
GIVEN = {
    "KEYS", "ARGV", "redis", "string", "table", "math", "cjson", "tonumber", "tostring", "type", "unpack", "ipairs",
    "pairs", "next", "pcall", "error", "select",
}  # fmt: skip
KEYWORDS = {
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
}  # fmt: skip

_TOKEN = re.compile(
    r"--\[\[.*?\]\]|--[^\n]*|'(?:\\.|[^'\\])*'|\b\d\w*|(?P<token>[A-Za-z_]\w*|\.\.\.?|[=~<>]=|[^\s\w])", re.DOTALL
)


def unmade(text: str) -> Iterator[str]:
    """Names that a script's text uses where they are not known; "NAME hides a function" where it does."""
    tokens = [match["token"] for match in _TOKEN.finditer(text) if match["token"]]
    scopes: list[set[str]] = [set(GIVEN)]
    functions: list[set[str]] = [set()]
    at = 0

    def names(start: int) -> list[str]:
        """Names with commas between them."""
        found = [tokens[start]]
        while tokens[start + 1 : start + 2] == [","] and tokens[start + 2].isidentifier():
            start += 2
            found.append(tokens[start])
        return found

    def make(scope: set[str], made: list[str]) -> Iterator[str]:
        scope.update(made)
        return (f"{name} hides a function" for name in made if any(name in known for known in functions))

    def leave() -> None:
        scopes.pop()
        functions.pop()

    def enter(scope: set[str]) -> None:
        scopes.append(scope)
        functions.append(set())

    coming: set[str] = set()
    while at < len(tokens):
        token = tokens[at]
        if token == "local" and tokens[at + 1] == "function":
            scopes[-1].add(tokens[at + 2])
            functions[-1].add(tokens[at + 2])
            at += 2
        elif token == "local":
            made = names(at + 1)
            yield from make(scopes[-1], made)
            at += 2 * len(made) - 1
        elif token == "for":
            made = names(at + 1)
            coming = set()
            yield from make(coming, made)
            at += 2 * len(made) - 1
        elif token in ("do", "then", "else", "repeat"):
            if token == "else":
                leave()
            enter(coming)
            coming = set()
        elif token in ("end", "until", "elseif"):
            leave()
        elif token.isidentifier() and token not in KEYWORDS and tokens[at - 1] not in (".", ":"):
            field = tokens[at + 1 : at + 2] == ["="] and tokens[at - 1] in ("{", ",") and _in_braces(tokens, at)
            if not field and not any(token in scope for scope in scopes):
                yield token
        at += 1
        if tokens[at - 1] == "(" and _is_head(tokens, at - 1):
            made = names(at) if tokens[at].isidentifier() else []
            enter(set())
            yield from make(scopes[-1], made)
            while tokens[at] != ")":
                at += 1


def _is_head(tokens: list[str], bracket: int) -> bool:
    """Whether that bracket begins a function's parameters."""
    return tokens[bracket - 1] == "function" or tokens[bracket - 2] == "function"


def _in_braces(tokens: list[str], at: int) -> bool:
    depth = 0
    for token in reversed(tokens[:at]):
        depth += (token in ")}]") - (token in "({[")
        if depth < 0:
            return token == "{"
    return False
