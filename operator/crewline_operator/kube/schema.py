"""Whether the cluster's CRDs are as new as the operator: their fields are what it decides by and writes.

An older CRD drops fields that it does not know without a word: a status would lose what decisions are kept by. A newer
one is no trouble, since fields are only added.
"""

from __future__ import annotations

import logging

from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.resources import CRDS
from crewline_operator.model.names import GROUP, SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION

log = logging.getLogger(__name__)

NAMES = (f"jobqueues.{GROUP}", f"scheduledjobs.{GROUP}")
#: CRDs that kubectl applied belong to kubectl, and the chart's next upgrade is refused over them.
INSTALL = "helm upgrade --reuse-values --set crds.install=true; only without Helm: kubectl apply -f crds/"


class OldSchema(Exception):
    """A CRD is older than the operator."""


async def check_crds(api: Api) -> None:
    """Raises OldSchema, and what `Api.get` raises; one that is not there is not found."""
    for name in NAMES:
        try:
            crd = await api.get(CRDS, None, name)
        except ApiError as error:
            if error.status != 403:
                raise
            # An operator for some namespaces has no right to anything of the whole cluster.
            log.warning("may not read CRD %s: whether it is as new as this operator can't be told", name)
            return
        annotations = crd["metadata"].get("annotations") or {}
        told = annotations.get(SCHEMA_VERSION_ANNOTATION, "0")
        version = int(told) if told.isascii() and told.isdigit() else 0
        if version < SCHEMA_VERSION:
            raise OldSchema(
                f"CRD {name} has schema version {version}, and this operator needs {SCHEMA_VERSION}: upgrade the CRDs "
                f"({INSTALL})"
            )
