"""The JobQueue whose scaling is tried, out of a manifest as one applies it.

No API server has looked at it: what it would refuse in spec.scaling is refused here, with the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.model.fields import Unreadable, shown
from crewline_operator.scaling.spec import EXTERNAL, Behavior, ScalingSpec

#: What there is in spec.scaling, and the bounds of what is a number; a test compares it with the CRD.
FIELDS: dict[str, Any] = {
    "mode": None,
    "minReplicas": (0, 10_000),
    "maxReplicas": (1, 10_000),
    "target": {
        "jobsPerReplica": (1, 1_000_000),
        "latencyObjectiveSeconds": (1, 86_400),
        "utilizationPercent": (1, 100),
    },
    "behavior": {"stableWindowSeconds": (1, 3600), "panicWindowSeconds": (1, 600)},
    "fallback": {"afterSeconds": (1, 86_400), "replicas": (0, 10_000)},
    "hold": None,
    "idleSeconds": (0, 86_400),
}
#: The same of spec.worker.concurrency.
CONCURRENCY = (1, 10_000)
SLOTS_MAX = 10_000_000


class ManifestError(Exception):
    """A manifest that can't be used: which line, which field, and the mend."""


@dataclass(frozen=True)
class Tried:
    """A JobQueue's name and its scaling."""

    name: str
    scaling: ScalingSpec


def read_manifest(name: str, text: str, jobqueue: str | None = None) -> Tried:
    """The JobQueue in a manifest; `jobqueue` names it where there are several. Raises ManifestError."""
    found = []
    with _told(name, 1):
        for node in yaml.compose_all(text, Loader=yaml.SafeLoader):
            if isinstance(node, yaml.MappingNode) and _at(node, "kind") == "JobQueue":
                found.append(node)
    names = [str(_at(_inner(node, "metadata"), "name")) for node in found]
    if jobqueue is not None:
        found = [node for node, known in zip(found, names, strict=True) if known == jobqueue]
    if not found:
        wanted = f"no JobQueue {jobqueue!r} in it" if jobqueue is not None else "no JobQueue in it"
        there = f", but {', '.join(map(repr, names))}" if names else ": it needs kind: JobQueue"
        raise ManifestError(f"{name}: there is {wanted}{there}")
    if len(found) > 1:
        raise ManifestError(f"{name}: there are several JobQueues in it, {', '.join(names)}: name one with --jobqueue")
    return _tried(name, found[0])


@contextmanager
def _told(name: str, begins: int) -> Iterator[None]:
    """Tell what YAML can't be read, and in which line: that of a document where no more is known."""
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}, line {mark.line + 1}" if mark is not None else name
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ManifestError(f"{where}: this is no YAML: {problem}") from None
    except RecursionError:
        raise ManifestError(f"{name}, line {begins}: this is nested too deeply") from None
    except ValueError as error:
        # A date that no calendar has, or a number that is none.
        raise ManifestError(f"{name}, line {begins}: a value in here is none of its kind: {error}") from None


def _tried(name: str, node: yaml.MappingNode) -> Tried:
    with _told(name, node.start_mark.line + 1):
        obj = yaml.SafeLoader("").construct_document(node)
    metadata = obj["metadata"] if isinstance(obj.get("metadata"), dict) else {}
    # What a worker is and where its Redis lies is of no concern here.
    spec = obj.get("spec")
    if isinstance(spec, dict):
        spec = (
            {"worker": {}}
            | {name: spec[name] for name in ("worker", "scaling") if name in spec}
            | {"redis": {"url": "redis://redis"}}
        )
    known = {"metadata": {"namespace": "", "name": "", "uid": ""} | metadata, "spec": spec}

    def wrong(path: str, what: str) -> ManifestError:
        return ManifestError(f"{name}, line {_line(node, path)}: {what}")

    try:
        scaling = parse_jobqueue(known).scaling
    except Unreadable as unreadable:
        said = str(unreadable).rpartition(": ")[0]
        raise wrong(said.split(" ", 1)[0], said) from None
    for path, mend in [*_refusals((spec or {}).get("scaling") or {}, scaling), *_too_many(scaling)]:
        raise wrong(path, f"{path} {mend}")
    return Tried(str(metadata.get("name", "jobqueue")), scaling)


def _refusals(written: Mapping[str, Any], scaling: ScalingSpec) -> Iterator[tuple[str, str]]:
    """What the API server would refuse: a field and what to do about it."""
    yield from _unknown(written, FIELDS, "spec.scaling")
    targets = written.get("target")
    if targets is not None and len([name for name in targets if targets[name] is not None]) != 1:
        names = list(FIELDS["target"])
        yield "spec.scaling.target", f"has to have exactly one of {', '.join(names[:-1])} and {names[-1]}"
    if scaling.max_replicas < scaling.min_replicas:
        yield "spec.scaling.maxReplicas", "is less than minReplicas: raise it, or lower minReplicas"
    behavior: Behavior = scaling.behavior
    if behavior.panic_seconds > behavior.stable_seconds:
        yield "spec.scaling.behavior.panicWindowSeconds", "is more than stableWindowSeconds: lower it"
    if scaling.fallback is not None and scaling.fallback.replicas > scaling.max_replicas:
        yield "spec.scaling.fallback.replicas", "is more than maxReplicas: lower it, or raise maxReplicas"
    if scaling.mode == EXTERNAL:
        yield "spec.scaling.mode", "is External: others decide then, and what they would is not known here"


def _too_many(scaling: ScalingSpec) -> Iterator[tuple[str, str]]:
    """What is more than is played: each slot is one there."""
    low, high = CONCURRENCY
    if not low <= scaling.concurrency <= high:
        yield "spec.worker.concurrency", f"is {shown(scaling.concurrency)}: it has to be from {low} to {high}"
    if scaling.max_replicas * scaling.concurrency > SLOTS_MAX:
        yield (
            "spec.scaling.maxReplicas",
            f"x spec.worker.concurrency are more than the {SLOTS_MAX} slots that are played: lower one of them",
        )


def _unknown(written: Mapping[str, Any], known: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, value in written.items():
        if name not in known:
            yield f"{path}.{name}", f"is not known: there are {', '.join(known)}"
        elif isinstance(known[name], dict) and isinstance(value, dict):
            yield from _unknown(value, known[name], f"{path}.{name}")
        elif isinstance(known[name], tuple) and isinstance(value, int):
            low, high = known[name]
            if not low <= value <= high:
                yield f"{path}.{name}", f"is {shown(value)}: it has to be from {low} to {high}"


def _line(node: yaml.Node, path: str) -> int:
    """Where a field is, or what it is missing in."""
    line: int = node.start_mark.line + 1
    for part in path.split("."):
        found = next((pair for pair in getattr(node, "value", ()) if _is_named(pair, part)), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _is_named(pair: Any, name: str) -> bool:
    return isinstance(pair, tuple) and bool(pair[0].value == name)


def _inner(node: yaml.Node, name: str) -> yaml.Node | None:
    found = next((pair for pair in getattr(node, "value", ()) if _is_named(pair, name)), None)
    return found[1] if found is not None else None


def _at(node: yaml.Node | None, name: str) -> Any:
    found = _inner(node, name) if node is not None else None
    return found.value if found is not None else None
