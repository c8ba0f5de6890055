"""What the API server checks of an object by its CRD's schema, but for the rules in CEL; unknown fields are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CRDS = Path(__file__).parents[1] / "crds"
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
}  # fmt: skip


def refusals(obj: dict[str, Any]) -> list[str]:
    """What is wrong with an object, each with its path; none if it would be taken."""
    crd = yaml.safe_load((CRDS / f"{obj['kind'].lower()}.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    if obj["apiVersion"] != f"{crd['spec']['group']}/{version['name']}":
        return [f"apiVersion: {obj['apiVersion']!r}"]
    schema = version["schema"]["openAPIV3Schema"]
    # what every object has is no part of it
    own = {name: value for name, value in obj.items() if name not in ("apiVersion", "kind", "metadata")}
    return list(_wrong(schema, own, ""))


def _wrong(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, int | str) or isinstance(value, bool):
            yield f"{path}: {value!r} is neither a number nor text"
        return
    wanted = schema.get("type")
    if wanted is not None and (
        not isinstance(value, TYPES[wanted]) or (isinstance(value, bool) and wanted != "boolean")
    ):
        yield f"{path}: {value!r} is no {wanted}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{path}: {value!r} does not match {schema['pattern']}"
        yield from _out_of_bounds(schema, len(value), "Length", path)
    elif isinstance(value, list):
        yield from _out_of_bounds(schema, len(value), "Items", path)
        for number, item in enumerate(value):
            yield from _wrong(schema.get("items", {}), item, f"{path}[{number}]")
    elif isinstance(value, dict):
        yield from _out_of_bounds(schema, len(value), "Properties", path)
        yield from _wrong_fields(schema, value, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _out_of_bounds(schema, value, "imum", path)


def _wrong_fields(schema: dict[str, Any], value: dict[str, Any], path: str) -> Iterator[str]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    yield from (f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, each in value.items():
        if name in known:
            yield from _wrong(known[name], each, f"{path}.{name}")
        elif isinstance(others, dict):
            yield from _wrong(others, each, f"{path}.{name}")
        elif not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name} is not known"


def _out_of_bounds(schema: dict[str, Any], size: float, of: str, path: str) -> Iterator[str]:
    low, high = schema.get(f"min{of}"), schema.get(f"max{of}")
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{path}: {size} is not from {low} to {high}"
