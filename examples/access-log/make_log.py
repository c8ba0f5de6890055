"""Writes the example's input: a web server's access log in combined format, the same bytes on every run.

The log is in the repository, so that the example has real input from the start; this script is there so that
anyone can see where it came from, and a test runs it to prove that the two agree. 50,000 requests in 100 chunks,
three of which are broken the way logs break: a line cut off by a full disk, a rotated binary file in the middle,
an error page in place of the log.

    python examples/access-log/make_log.py [FOLDER]
"""

import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path

SEED = 20260317
CHUNKS = 100
LINES_PER_CHUNK = 500
#: chunk number -> (line index that is broken, what stands there)
CORRUPT = {
    17: (211, "203.0.113.9 - - [17/Mar/2026:04:0"),
    42: (88, "PK!..8hN~access.log.1.gz{}UX%^@=+;z]q<#"),
    73: (0, "<html><head><title>502 Bad Gateway</title></head></html>"),
}

PATHS = {
    "/": 220, "/products": 120, "/products/17": 60, "/products/42": 90, "/products/108": 35, "/cart": 70,
    "/checkout": 40, "/api/v1/orders": 85, "/api/v1/stock": 65, "/api/v1/login": 50, "/search": 95,
    "/static/app.css": 110, "/static/app.js": 115, "/static/logo.svg": 80, "/robots.txt": 12, "/favicon.ico": 45,
    "/about": 15, "/help/returns": 18, "/healthz": 60, "/wp-login.php": 9,
}  # fmt: skip
STATUSES = {200: 880, 304: 55, 301: 18, 404: 24, 403: 5, 429: 6, 500: 7, 503: 5}
WRITES = ("/cart", "/checkout", "/api/v1/orders", "/api/v1/login")
NETWORKS = ("192.0.2", "198.51.100", "203.0.113")  # reserved for documentation: nobody's address
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone)", "Mozilla/5.0 (Windows NT 10.0)", "curl/8.9.1")


class Weighted:
    """Draws keys by weight from `random.random()` alone, whose sequence every Python version keeps."""

    def __init__(self, weights: dict) -> None:
        self._keys, self._bounds = list(weights), list(accumulate(weights.values()))

    def draw(self, source: random.Random):
        point = source.random() * self._bounds[-1]
        return next(key for key, bound in zip(self._keys, self._bounds, strict=True) if point < bound)


def requests(source: random.Random) -> Iterator[str]:
    """One line a request, in order of time, without end."""
    paths, statuses = Weighted(PATHS), Weighted(STATUSES)
    now = datetime(2026, 3, 17, tzinfo=UTC)
    while True:
        now += timedelta(seconds=source.random() * 3.4)
        path = paths.draw(source)
        status = 404 if path == "/wp-login.php" else statuses.draw(source)
        method = "POST" if path in WRITES and source.random() < 0.6 else "GET"
        address = f"{NETWORKS[int(source.random() * 3)]}.{1 + int(source.random() * 254)}"
        size = 0 if status == 304 else 120 + int(source.random() ** 3 * 48_000)
        agent = AGENTS[int(source.random() * len(AGENTS))]
        yield f'{address} - - [{now:%d/%b/%Y:%H:%M:%S} +0000] "{method} {path} HTTP/1.1" {status} {size} "-" "{agent}"'


def chunks() -> Iterator[tuple[str, str]]:
    """(file name, text) of every chunk."""
    lines = requests(random.Random(SEED))
    for number in range(CHUNKS):
        chunk = [next(lines) for _ in range(LINES_PER_CHUNK)]
        if number in CORRUPT:
            index, broken = CORRUPT[number]
            chunk[index] = broken
        yield f"chunk-{number:03d}.log", "\n".join(chunk) + "\n"


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in chunks():
        (folder / name).write_text(text, encoding="ascii", newline="\n")
    print(f"wrote {CHUNKS} chunks of {LINES_PER_CHUNK} requests to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "log")
