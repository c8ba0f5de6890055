"""Text as Redis and foreign clients give it: bytes, broken Unicode, JSON that is none."""

from __future__ import annotations

import re
import traceback
from typing import Any

from crewline.errors import InvalidPayload
from crewline.wire import jsonio

#: Characters of a reason that a job keeps: it goes into its hash, its events and its dead letter.
MOST_REASON = 8000

#: What a terminal would obey or be deceived by: control characters, those that turn the direction of writing or are
#: not seen, line separators, halves of characters.
_unprintable = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
#: Who logs in, in a URL: an unescaped password may hold anything but blanks.
_account = re.compile(r"(?<=://)\S*@")


def text(value: Any) -> str:
    """A reply as text. A caller's own client may decode replies already, and foreign bytes may be no UTF-8."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def utf8_size(value: str) -> int:
    """The bytes that a text takes on the wire."""
    return len(value) if value.isascii() else len(value.encode())


def printable(value: str) -> str:
    """Text that can be sent: what is no Unicode text (lone surrogates) becomes ``?``."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def escaped(part: str) -> str:
    """Text as itself within a pattern of Redis'."""
    return re.sub(r"([\[\]*?\\])", r"\\\1", part)


def reason_of(error: BaseException) -> str:
    """Why something failed, as its error says it: plain text of `MOST_REASON` characters at most, and never none.

    An error is the user's: its text may raise, or be of a class of its own.
    """
    try:
        said = str.join("", [str(error)])
    except BaseException:
        # whatever it was, it is about the text and not about what failed
        said = ""
    return bounded(said or type(error).__name__)


def bounded(value: str, most: int = MOST_REASON) -> str:
    """A text that can be sent, such as a reason, of so many characters at most."""
    if len(value) > most:
        value = f"{value[:most]}... ({len(value)} characters)"
    return printable(value)


def trace_of(error: BaseException) -> str:
    """Where an error comes from, as Python prints it; that asks the error too, and may raise."""
    try:
        return printable("".join(traceback.format_exception(error)))
    except BaseException as broken:
        return f"{type(error).__name__}, whose stack trace can't be told: {type(broken).__name__}\n"


def shown(value: object, *, lines: bool = False) -> str:
    """Text of a job, a queue, a worker or an event, safe for a terminal: all that is printed goes through here.

    Anybody who may add jobs chooses it. What a terminal would obey is written as JSON writes it (``\\u001b``).

    Args:
        lines: the text may have lines and tabs.
    """
    kept = "\n\t" if lines else ""
    return _unprintable.sub(lambda found: found[0] if found[0] in kept else _as_json(found[0]), str(value))


def loggable(value: object, *, lines: bool = False) -> str:
    """The same for a log, which many may read: URLs are without users and passwords."""
    return shown(_account.sub("***@", str(value)), lines=lines)


def counted(count: int, one: str, many: str = "") -> str:
    """So many of something, as one says it: 1 job, 2 jobs, 0 jobs."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def lenient(field: Any) -> Any:
    """JSON that another client wrote into a field nobody's work depends on; its text if it is none."""
    try:
        return jsonio.loads(field, "field")
    except InvalidPayload:
        return text(field)


def number(value: Any, default: int = 0) -> int:
    """A number off the wire; a foreign client may have written anything."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        try:
            return int(float(value))
        except (TypeError, ValueError, OverflowError):
            return default


def _as_json(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"
