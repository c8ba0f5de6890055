"""The handlers' source, kept in ConfigMaps: what it is now, without asking for it at each look at a JobQueue."""

from __future__ import annotations

import base64
import hashlib

from crewline_operator.jobqueue.observed import Code
from crewline_operator.kube.api import Api
from crewline_operator.kube.resources import CONFIG_MAPS
from crewline_operator.model.key import Object


class Codes:
    """Digests of the ConfigMaps that JobQueues name. A missing one is asked for at each look."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._codes: dict[tuple[str, str], Code] = {}

    async def find(self, namespace: str, name: str) -> Code:
        """The source in a ConfigMap. Raises what `Api.find` raises."""
        known = self._codes.get((namespace, name))
        if known is None or known.missing:
            known = self._codes[namespace, name] = _code_of(await self._api.find(CONFIG_MAPS, namespace, name))
        return known

    def changed(self, namespace: str, name: str, config_map: Object | None) -> None:
        """A ConfigMap that a JobQueue names has changed; None if it is gone."""
        self._codes[namespace, name] = _code_of(config_map)

    def reset(self) -> None:
        """Forget what was read, so that it is read again: the full resync."""
        self._codes.clear()


def _code_of(config_map: Object | None) -> Code:
    if config_map is None:
        return Code(missing=True)
    digest = hashlib.sha256()
    for name, value in sorted((config_map.get("data") or {}).items()):
        digest.update(f"{name}\0{value}\0".encode())
    for name, value in sorted((config_map.get("binaryData") or {}).items()):
        digest.update(name.encode() + b"\0" + base64.b64decode(value) + b"\0")
    return Code(digest=digest.hexdigest()[:16])
