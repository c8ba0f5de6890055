"""What the operator's API and its marks on other objects are called in Kubernetes."""

from __future__ import annotations

GROUP = "crewline.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FIELD_MANAGER = "crewline"
#: On every child: the JobQueue it belongs to. Watches and the /scale selector go by it.
JOBQUEUE_LABEL = f"{GROUP}/jobqueue"
