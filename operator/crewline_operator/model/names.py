"""What the operator's API and its marks on other objects are called in Kubernetes."""

from __future__ import annotations

import re

GROUP = "crewline.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
#: On the CRDs. Raise both for a field that the operator can't do without.
SCHEMA_VERSION_ANNOTATION = f"{GROUP}/schema-version"
SCHEMA_VERSION = 2
FIELD_MANAGER = "crewline"
#: On every child: the JobQueue it belongs to. Watches and the /scale selector go by it.
JOBQUEUE_LABEL = f"{GROUP}/jobqueue"
#: On the pod of a larger worker, which is none of the replicas.
LARGER_LABEL = f"{GROUP}/larger"

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def is_object_name(text: str) -> bool:
    """Whether an object can be called so: a DNS subdomain, as namespaces and all that is read by its name are."""
    return _OBJECT_NAME.fullmatch(text) is not None
