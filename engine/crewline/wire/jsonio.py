"""Strict JSON at every boundary.

One payload with a NaN in it makes BullMQ's ``getJobs`` throw for a whole page, so nothing that is not JSON
may get into Redis, and nothing that is not JSON gets from there to a handler.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from crewline.errors import InvalidPayload

#: Bytes of JSON that a job's data may have: 1 MiB. Larger things belong in an object store, their address in the job.
MAX_PAYLOAD_BYTES = 1 << 20

#: Integers up to here are exact in a JavaScript number (2^53 - 1).
MAX_SAFE_INTEGER = 2**53 - 1

#: Turns JSON into zeros where digits were and spaces elsewhere: sixteen in a row are found so in a sixth of the time
#: that a regular expression takes.
_digits = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
_maybe_unsafe_integer = b"0" * 16

_encoder = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_encode = _encoder.encode


def _fast_encoder(make: Any) -> Callable[[Any, int], Iterable[str]]:
    """JSONEncoder.encode makes one of these a call, which takes as long as a small payload's encoding.

    No markers: what contains itself ends in a RecursionError, and is told apart by `_encode` then. A private part of
    Python's: not every one has it, nor promises what it takes.
    """
    try:
        fast: Callable[[Any, int], Iterable[str]] = make(
            None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
        )
        tried = "".join(fast({"é": [1.5, None]}, 0))
    except TypeError:
        tried = ""
    return fast if tried == '{"é":[1.5,null]}' else lambda value, _: (_encode(value),)


_encode_fast = _fast_encoder(getattr(json.encoder, "c_make_encoder", None))


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not allowed in JSON")


# made once: json.loads makes a decoder a call where it is given a hook
_decode = json.JSONDecoder(parse_constant=_refuse).decode


class UnsafeIntegerWarning(UserWarning):
    """An integer beyond 2^53: Node reads JSON numbers as doubles and would round it."""


def dumps(value: Any, what: str, max_bytes: int = MAX_PAYLOAD_BYTES) -> str:
    """Encodes ``value`` as strict JSON.

    Args:
        value: dicts, lists, strings, finite numbers, booleans, None.
        what: names the value in errors, such as ``data`` or ``item 3: data``.
        max_bytes: the largest encoding allowed, in bytes of UTF-8.

    Raises:
        InvalidPayload: the value is not strict JSON (NaN, bytes, cycles, …) or too large.
    """
    try:
        try:
            text = "".join(_encode_fast(value, 0))
        except (TypeError, ValueError, RecursionError):
            text = _encode(value)
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{what} holds a lone surrogate, which is not Unicode text: {error.reason}") from None
    except RecursionError:
        raise InvalidPayload(f"{what} is nested too deeply to be JSON: flatten it") from None
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"{what} is not strict JSON at {_locate(value)}: {error}; {_mend(error)}") from None
    if len(encoded) > max_bytes:
        raise InvalidPayload(
            f"{what} is {len(encoded):,} bytes of JSON, more than the {max_bytes:,} allowed: "
            "store it elsewhere and put its address into the job"
        )
    if _maybe_unsafe_integer in encoded.translate(_digits):
        for path, number in _walk(value):
            if isinstance(number, int) and abs(number) > MAX_SAFE_INTEGER:
                warnings.warn(
                    f"{what}{path} = {number} is beyond 2^53: Node workers and dashboards would round it; "
                    "send it as a string",
                    UnsafeIntegerWarning,
                    stacklevel=4,
                )
    return text


def loads(text: bytes | str, what: str) -> Any:
    """Decodes strict JSON; raises InvalidPayload for NaN, Infinity and everything else that is not JSON."""
    try:
        # decoded here: json.loads would take bytes for UTF-16 as well, and let lone surrogates pass
        return _decode(text if isinstance(text, str) else text.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"{what} is not strict JSON: {error}") from None


def _mend(error: Exception) -> str:
    text = str(error)
    if "Circular" in text:
        return "break the cycle"
    if "Out of range" in text:
        return "send null or a string instead of NaN or infinity"
    return "convert it to a string, number, list or dict first"


def _walk(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    yield path, value
    if depth > 50:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{path}[{index}]", depth + 1)


def _locate(value: Any) -> str:
    """The path of the first part that can't be encoded."""
    for path, part in _walk(value):
        if isinstance(part, dict | list | tuple):
            if isinstance(part, dict) and not all(isinstance(k, str | int | float | bool | None) for k in part):
                return f"a key of {path or 'the top'}"
            continue
        try:
            _encode(part)
        except (TypeError, ValueError):
            return path or "the top"
    return "a part that contains itself"
