"""Runs short commands and turns a failure into a sentence that names the command and shows what it said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run a command and return what it printed; raises ClusterError with the tail of its stderr."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except FileNotFoundError:
        raise ClusterError(
            f"`{words[0]}` is not installed: `python -m tests.cluster prepare` installs what is missing"
        ) from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{' '.join(words)}` did not end within {timeout_seconds:g} s") from None
    if done.returncode != 0:
        raise ClusterError(f"`{' '.join(words)}` ended with {done.returncode}:\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def answers(argv: Sequence[str | Path], *, timeout_seconds: float = 10) -> bool:
    """Whether a command exists and ends well."""
    try:
        run(argv, timeout_seconds=timeout_seconds)
    except ClusterError:
        return False
    return True


def tail(text: str, lines: int = 15) -> str:
    """The last lines of a text, indented, for the end of an error message."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:])
