"""By which pod template a pod was made: told by the template itself, so that it is on each of its pods. Pure.

Deployment and pods have no other word for it in common, and the newest pods need not be of the newest template: one may
have been put back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from crewline_operator.model.key import Object
from crewline_operator.model.names import GROUP

TEMPLATE_DIGEST = f"{GROUP}/template-digest"


def template_digest(template: Mapping[str, Any]) -> str:
    """The same for the same template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:16]


def is_outdated(pod: Object, deployment: Object) -> bool:
    """Whether a pod is of another template than the one that its Deployment has now."""
    newest = _told(deployment["spec"]["template"])
    return newest is not None and _told(pod) != newest


def _told(obj: Mapping[str, Any]) -> str | None:
    digest: str | None = (obj.get("metadata", {}).get("annotations") or {}).get(TEMPLATE_DIGEST)
    return digest
