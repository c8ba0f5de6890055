"""The answer of the demo, and the proof that it is right.

The jobs' return values are added up; the same log is then counted directly, by splitting its lines at the quotes, with
none of the handler's code. The two must agree to the last request, and the dead letters must be exactly the chunks
that the direct count could not read either.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Answer:
    """Requests by status and by path, and the chunks that could not be counted."""

    requests: int = 0
    status: Counter[str] = field(default_factory=Counter)
    paths: Counter[str] = field(default_factory=Counter)
    unreadable: set[str] = field(default_factory=set)


def from_jobs(return_values: Iterable[Mapping[str, Any]], dead_chunks: Iterable[str]) -> Answer:
    """What the workers found."""
    answer = Answer(unreadable=set(dead_chunks))
    for value in return_values:
        answer.requests += value["requests"]
        answer.status.update(value["status"])
        answer.paths.update(value["paths"])
    return answer


def from_files(chunks: Iterable[Path]) -> Answer:
    """What is in the log: a chunk counts as a whole or, when one of its lines is broken, not at all."""
    answer = Answer()
    for chunk in chunks:
        status: Counter[str] = Counter()
        paths: Counter[str] = Counter()
        try:
            for line in chunk.read_text(encoding="ascii").splitlines():
                _, request, result, *_ = line.split('"')
                paths[request.split(" ")[1]] += 1
                status[str(int(result.split()[0]))] += 1
        except (ValueError, IndexError):
            answer.unreadable.add(chunk.stem)
            continue
        answer.requests += status.total()
        answer.status.update(status)
        answer.paths.update(paths)
    return answer


def differences(found: Answer, truth: Answer) -> list[str]:
    """One sentence for each thing that is not equal; empty when the check holds."""
    wrong = []
    if found.requests != truth.requests:
        wrong.append(f"the jobs counted {found.requests:,} requests, the files hold {truth.requests:,}")
    for name, ours, theirs in (("status", found.status, truth.status), ("path", found.paths, truth.paths)):
        for key in sorted(ours.keys() | theirs.keys()):
            if ours[key] != theirs[key]:
                wrong.append(f"{name} {key}: the jobs counted {ours[key]:,}, the files hold {theirs[key]:,}")
    if found.unreadable != truth.unreadable:
        wrong.append(f"dead letters are {sorted(found.unreadable)}, the broken chunks are {sorted(truth.unreadable)}")
    return wrong
