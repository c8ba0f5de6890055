"""Objects as another schema, or none, may have let them in: some part of a sound one is anything."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.sampled_from(["", "x", "5", "-"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "url", "name"]), inner, max_size=3)
    ),
    max_leaves=6,
)
MISSING = object()


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where there is something in a JSON value, the value itself among it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for name, child in inner for path in paths(child, (*here, name)))]


@st.composite
def spoiled(draw: st.DrawFn, sound: dict[str, Any]) -> Any:
    """`sound` with up to three parts that are missing or anything."""
    value = {"root": copy.deepcopy(sound)}
    for _ in range(draw(st.integers(1, 3))):
        *way, last = ("root", *draw(st.sampled_from(paths(value["root"]))))
        inner: Any = value
        for name in way:
            inner = inner[name]
        new = draw(ANYTHING | st.just(MISSING))
        if new is not MISSING:
            inner[last] = new
        elif last != "root":
            del inner[last]
    return value["root"]
