"""What to write of a status, and when: nothing if nothing moved, numbers not more often than they are worth.

A status that changes each second for each queue would make the API server and every watch of it busy with numbers
that are old when they arrive.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any


def merge_patch(earlier: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that turns `earlier` into `wanted`; {} if they are equal."""
    patch: dict[str, Any] = {key: None for key in earlier if key not in wanted}
    for key, value in wanted.items():
        before = earlier.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            nested = merge_patch(before, value)
            if nested:
                patch[key] = nested
        elif before != value or key not in earlier:
            patch[key] = value
    return patch


def is_material(patch: Mapping[str, Any], numbers: Collection[str]) -> bool:
    """Whether a patch holds more than the fields named in `numbers`."""
    return any(key not in numbers for key in patch)


def patched(status: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """What a JSON merge patch (RFC 7386) makes of a status."""
    result = dict(status)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            before = result.get(key)
            result[key] = patched(before if isinstance(before, Mapping) else {}, value)
        else:
            result[key] = value
    return result
