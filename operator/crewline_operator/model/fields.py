"""Reads fields of a stored object that may be of an older schema than the operator's, or of none.

The API server validates what is written, with the schema of that day. What lies in etcd since then is validated by
nobody: a field that became required may be missing, and what once was loose may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from reprlib import Repr
from typing import Any, TypeVar

from crewline_operator.model.fault import Fault
from crewline_operator.model.names import is_object_name

T = TypeVar("T")

VALUE_MAX_CHARS = 60
#: A list may hold itself, or one list a million times.
_BEGINNING = Repr()
_BEGINNING.maxlevel = 3
_BEGINNING.maxstring = VALUE_MAX_CHARS
_SHARE = re.compile(r"([1-9][0-9]?|100)%")
MEND = "apply the object again in the form that kubectl explain shows"


class Unreadable(Exception):
    """A field is missing, or is nothing that it may be."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(reason, message)


class Fields:
    """The fields of a JSON object at `path`; one that is null counts as missing. All methods raise Unreadable."""

    def __init__(self, value: object, path: str, reason: str = "InvalidSpec") -> None:
        self.path = path
        self._reason = reason
        self._values: dict[str, Any] = self._checked(value, dict, path, "an object")

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def inner(self, name: str) -> Fields:
        """An object; an empty one if it is missing."""
        return Fields(self._values.get(name) or {}, self._at(name), self._reason)

    def required(self, name: str) -> Fields:
        """An object that has to be there."""
        return Fields(self._given(name), self._at(name), self._reason)

    def text(self, name: str) -> str:
        return self._checked(self._given(name), str, self._at(name), "a text")

    def object_name(self, name: str) -> str:
        """The name of an object that is read by it."""
        value = self.text(name)
        if not is_object_name(value):
            raise self._unreadable(self._at(name), value, "an object's name (lower-case letters, digits, '-' and '.')")
        return value

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if name in self else None

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`, the first if it is missing."""
        value = self.optional_text(name) or choices[0]
        if value not in choices:
            raise self._unreadable(self._at(name), value, " or ".join(choices))
        return value

    def integer(self, name: str, *, low: int = 0) -> int:
        value = self._given(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self._unreadable(self._at(name), value, f"a whole number from {low}")
        return value

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if name in self else None

    def quantity(self, name: str) -> str:
        """One of Kubernetes' quantities, which may be written as a number."""
        value = self._given(name)
        if isinstance(value, bool) or not isinstance(value, int | str) or not str(value):
            raise self._unreadable(self._at(name), value, "a quantity, such as 1Gi")
        return str(value)

    def share(self, name: str) -> float | None:
        """A number from 0 to 1, None if it is missing."""
        if name not in self:
            return None
        value = self._given(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise self._unreadable(self._at(name), value, "a number from 0 to 1")
        return value

    def count_or_share(self, name: str) -> int | str:
        """A whole number from 1, or a share as 1% to 100%."""
        value = self._given(name)
        if isinstance(value, str) and _SHARE.fullmatch(value):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._unreadable(self._at(name), value, "a whole number from 1, or a share from 1% to 100%")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false if it is missing."""
        return name in self and self._checked(self._given(name), bool, self._at(name), "true or false")

    def texts(self, name: str) -> tuple[str, ...]:
        return self._items(name, str, "a text")

    def objects(self, name: str) -> tuple[Mapping[str, Any], ...]:
        return self._items(name, dict, "an object")

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A JSON object as it is; an empty one if it is missing."""
        return self._checked(self._values.get(name) or {}, dict, self._at(name), "an object")

    def _items(self, name: str, type_: type[T], what: str) -> tuple[T, ...]:
        values: list[object] = self._checked(self._values.get(name) or [], list, self._at(name), "a list")
        return tuple(
            self._checked(value, type_, f"{self._at(name)}[{index}]", what) for index, value in enumerate(values)
        )

    def _given(self, name: str) -> object:
        if name not in self:
            raise Unreadable(self._reason, f"{self._at(name)} is missing: {MEND}")
        return self._values[name]

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def _checked(self, value: object, type_: type[T], path: str, what: str) -> T:
        if not isinstance(value, type_):
            raise self._unreadable(path, value, what)
        return value

    def _unreadable(self, path: str, value: object, what: str) -> Unreadable:
        return Unreadable(self._reason, f"{path} is {shown(value)!r}, not {what}: {MEND}")


def shown(value: object) -> str:
    """The beginning of a value, however large it is."""
    try:
        return (_BEGINNING.repr(value) if isinstance(value, dict | list) else str(value))[:VALUE_MAX_CHARS]
    except ValueError:
        # Python writes out no more than some thousand digits.
        return "a number of too many digits"
