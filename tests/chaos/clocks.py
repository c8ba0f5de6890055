"""Skews the wall clock of one process: libfaketime, preloaded, with the monotonic clock left alone."""

from __future__ import annotations

from pathlib import Path

#: Below /usr: where Debian, Fedora and a build by hand put it.
FOLDERS = ("lib/*", "lib64", "lib", "local/lib")


def skewed(offset: str) -> dict[str, str]:
    """The environment of a process whose wall clock is off by ``offset``, such as ``+1h``."""
    found = sorted(path for folder in FOLDERS for path in Path("/usr").glob(f"{folder}/faketime/libfaketime.so.1"))
    assert found, "no libfaketime: install it (Debian: apt-get install faketime)"
    return {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_NO_CACHE": "1",
    }
