"""What of a child tells whether somebody has changed what we applied. Pure.

A Deployment's generation moves with its spec; a ServiceAccount has none, so that all of it counts. What its own
controllers write, a status and annotations, does not.
"""

from __future__ import annotations

import hashlib
import json

from crewline_operator.model.key import Object
from crewline_operator.model.names import GROUP

IDENTITY = ("uid", "generation", "labels", "ownerReferences")


def fingerprint(obj: Object) -> str:
    """The same as long as nobody has changed what an apply sets."""
    metadata = obj["metadata"]
    seen = {name: metadata.get(name) for name in IDENTITY}
    seen["annotations"] = {
        name: value for name, value in (metadata.get("annotations") or {}).items() if name.startswith(f"{GROUP}/")
    }
    if metadata.get("generation") is None:
        seen |= {name: value for name, value in obj.items() if name not in ("metadata", "status")}
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()
