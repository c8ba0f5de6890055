"""JSON that many jobs share, made so that nobody can change it.

Most jobs of a queue have the same options, which are decoded once. A handler that changed those of its job would
change them for all others, and a copy for each job would cost more than decoding saves.
"""

from __future__ import annotations

from typing import Any, NoReturn


class ReadOnlyDict(dict[str, Any]):
    """A dict that can't be changed; ``dict(it)``, ``copy`` and ``copy.deepcopy`` give one that can."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a job's options can't be changed, since other jobs share them: change a copy, dict(job.opts)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: writable(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # pickled as what it holds: a handler's process may not have this class, and has nobody to share it with
        return dict, (dict(self),)


def readonly(value: Any) -> Any:
    """Decoded JSON that can't be changed, its lists as tuples."""
    if isinstance(value, dict):
        return ReadOnlyDict({key: readonly(part) for key, part in value.items()})
    if isinstance(value, list):
        return tuple(readonly(part) for part in value)
    return value


def writable(value: Any) -> Any:
    """A copy of what `readonly` made, which can be changed."""
    if isinstance(value, dict):
        return {key: writable(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [writable(part) for part in value]
    return value
