"""What is kept of a Secret or a ConfigMap that is watched: what somebody reads of it, and no more."""

from __future__ import annotations

import base64
import hashlib

from crewline_operator.model.key import Object


def read_content(obj: Object) -> Object:
    """Its data, and by which version they are told."""
    return {**_about(obj), "data": obj.get("data") or {}, "binaryData": obj.get("binaryData") or {}}


def read_digest(obj: Object) -> Object:
    """A digest of its data, which may be large: a handler's source."""
    digest = hashlib.sha256()
    for name, value in sorted((obj.get("data") or {}).items()):
        digest.update(f"{name}\0{value}\0".encode())
    for name, value in sorted((obj.get("binaryData") or {}).items()):
        digest.update(name.encode() + b"\0" + base64.b64decode(value) + b"\0")
    return {**_about(obj), "digest": digest.hexdigest()[:16]}


def is_same(one: Object | None, other: Object | None) -> bool:
    """Whether two that were read are of one object and say the same, in whatever version."""
    if one is None or other is None:
        return one is other
    return one["metadata"]["uid"] == other["metadata"]["uid"] and _told(one) == _told(other)


def _about(obj: Object) -> Object:
    return {"metadata": {name: obj["metadata"].get(name) for name in ("uid", "resourceVersion")}}


def _told(obj: Object) -> Object:
    return {name: value for name, value in obj.items() if name != "metadata"}
