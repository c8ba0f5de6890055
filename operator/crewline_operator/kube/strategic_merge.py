"""Merges a partial pod template over another by Kubernetes' strategic-merge rules. Pure.

Objects are merged field by field, and null removes one. A list whose items Kubernetes knows by a key is merged item by
item: those of the same key are merged, others are added after. Any other list is replaced. The keys are those of the
API's own field lists (x-kubernetes-list-map-keys), so that what is merged here is what an apply takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]


class Unmergeable(Exception):
    """A field of the partial template is nothing that can be merged; the message names it."""


@dataclass(frozen=True)
class Keyed:
    """A list whose items are known by fields of theirs, with what these are where they are left out."""

    by: Mapping[str, Any]
    #: The lists within an item.
    inner: Mapping[str, Keyed] = field(default_factory=dict)
    #: An item has one of many sources, as a volume: another one takes the place of the one before.
    one_of: bool = False


_NAMED = Keyed({"name": None})
_CONTAINERS = Keyed(
    {"name": None},
    {
        "env": _NAMED,
        "ports": Keyed({"containerPort": None, "protocol": "TCP"}),
        "volumeMounts": Keyed({"mountPath": None}),
        "volumeDevices": Keyed({"devicePath": None}),
    },
)
#: The lists of a pod's spec.
POD_LISTS = {
    "containers": _CONTAINERS,
    "initContainers": _CONTAINERS,
    "volumes": Keyed({"name": None}, one_of=True),
    "imagePullSecrets": _NAMED,
    "hostAliases": Keyed({"ip": None}),
    "topologySpreadConstraints": Keyed({"topologyKey": None, "whenUnsatisfiable": None}),
    "resourceClaims": _NAMED,
    "schedulingGates": _NAMED,
}


def merge_objects(base: Json, partial: Json, lists: Mapping[str, Keyed], path: str) -> dict[str, Any]:
    """`base` with the fields of `partial`, which is at `path`. Raises Unmergeable."""
    merged = dict(base)
    for name, value in partial.items():
        at, before = f"{path}.{name}", base.get(name)
        if value is None:
            merged.pop(name, None)
        elif name in lists:
            merged[name] = _merge_lists(before or (), value, lists[name], at)
        elif isinstance(value, Mapping) or isinstance(before, Mapping):
            known = before if isinstance(before, Mapping) else {}
            merged[name] = merge_objects(known, _checked(value, Mapping, at, "an object"), {}, at)
        else:
            merged[name] = value
    return merged


def _merge_lists(base: Sequence[Json], partial: object, keyed: Keyed, path: str) -> list[dict[str, Any]]:
    merged = {_key(item, keyed, path): dict(item) for item in base}
    seen = set()
    for item in _checked(partial, list, path, "a list"):
        _checked(item, Mapping, f"{path}[]", "an object")
        key = _key(item, keyed, path)
        at = f"{path}[{key[0]}]"
        if key in seen:
            raise Unmergeable(f"{at} is there twice")
        seen.add(key)
        before = merged.get(key, {})
        if keyed.one_of and not item.keys() <= before.keys():
            before = {}
        merged[key] = merge_objects(before, item, keyed.inner, at)
    return list(merged.values())


def _key(item: Json, keyed: Keyed, path: str) -> tuple[str, ...]:
    found = []
    for name, default in keyed.by.items():
        value = item.get(name, default)
        if not isinstance(value, str | int):
            raise Unmergeable(f"{path}[].{name} is missing")
        found.append(str(value))
    return tuple(found)


def _checked(value: Any, type_: type[Any], path: str, what: str) -> Any:
    if not isinstance(value, type_):
        raise Unmergeable(f"{path} is not {what}")
    return value
