"""What is written to the API server: children and statuses."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping

from crewline_operator.effects.actions import Apply, Remove, Shield, WriteStatus
from crewline_operator.effects.done import Applied, Denied, Done
from crewline_operator.effects.errors import Changed, Gone, NotItsTurn, NotWritten, Refused
from crewline_operator.kube.api import Api
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.fingerprint import fingerprint
from crewline_operator.kube.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBQUEUES,
    PODS,
    SCHEDULEDJOBS,
    SERVICE_ACCOUNTS,
)
from crewline_operator.kube.status import patched
from crewline_operator.kube.store import Store, version_of
from crewline_operator.model.deletion_cost import DELETION_COST, MARK
from crewline_operator.model.do_not_disrupt import shield_annotations
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.urgency import Urgency

log = logging.getLogger(__name__)

RESOURCES = {
    "JobQueue": JOBQUEUES,
    "ScheduledJob": SCHEDULEDJOBS,
    "Deployment": DEPLOYMENTS,
    "ServiceAccount": SERVICE_ACCOUNTS,
    "Pod": PODS,
    "PodDisruptionBudget": DISRUPTION_BUDGETS,
}
#: Answers to an apply that will be the same until the user changes something: bad request, forbidden, invalid.
REFUSALS = (400, 403, 422)
#: A status that was not taken is tried again after this.
STATUS_AGAIN_SECONDS = 5.0
#: Those of them that are about what was sent.
UNFIT = (400, 422)
#: So an apply is refused of a field that the kind does not have: with 500, as if the API server were to blame.
UNTYPED = "failed to create typed patch object"


class Objects:
    """Writes objects, and keeps in the store what they are then."""

    def __init__(self, *, api: Api, store: Store, budget: WriteBudget) -> None:
        self._api = api
        self._store = store
        self._budget = budget

    async def apply(self, key: Key, obj: Object | None, action: Apply, done: Done) -> None:
        """Apply a child of `obj`. Raises Refused and Gone."""
        try:
            applied = await self._api.apply(RESOURCES[action.kind], action.manifest, uid=action.uid)
        except ApiError as error:
            if error.status in (404, 409):
                # A child goes with its owner, of which no watch may have told.
                await self._check_there(key, obj)
            if error.status not in REFUSALS and UNTYPED not in str(error):
                raise
            name = action.manifest["metadata"]["name"]
            message = f"the API server refuses {action.kind} {name!r}: {error}: correct spec.worker"
            fault = Fault("ApplyRefused", message)
            if action.kind == "Pod":
                # A larger worker's, which nothing else of the JobQueue waits for: the next plan tells of it.
                done.larger_denied = Denied(fault, time.monotonic())
                return
            raise Refused(fault) from error
        if action.kind == "Pod":
            done.larger_denied = None
        done.applied[action.kind] = Applied(action.digest, fingerprint(applied))
        self._store.of(action.kind).put(applied)

    async def remove(self, key: Key, action: Remove, done: Done) -> None:
        """Delete a child. One that is gone, or another one by now, is left."""
        try:
            await self._api.delete(RESOURCES[action.kind], key.namespace, action.name, action.uid)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
        done.applied.pop(action.kind, None)

    async def mark(self, key: Key, pod: str, uid: str) -> None:
        """Give a pod the mark. That it has it is for the watch to tell: that of whoever kills by it may be as late.

        Raises Changed if the pod is not there any more, or on its way out: another one may be there in its place.
        """
        found = await self._annotate(key, pod, uid, {DELETION_COST: MARK})
        if found is None:
            raise Changed
        if found["metadata"].get("deletionTimestamp"):
            self._store.pods.put(found)
            raise Changed

    async def unmark(self, key: Key, pod: str, uid: str) -> None:
        """Take the mark off a pod, which has none from then on, whatever a watch still tells."""
        found = await self._annotate(key, pod, uid, {DELETION_COST: None})
        if found is not None:
            self._store.pods.put(found)

    async def shield(self, key: Key, action: Shield, done: Done) -> None:
        """Have a pod say whether it may be moved. Raises NotItsTurn. As with a mark, it is for the watch to tell."""
        if not self._budget.take(key, Urgency.NUMBERS, done.status_written):
            raise NotItsTurn
        await self._annotate(key, action.pod, action.uid, shield_annotations(action.is_busy))

    async def _annotate(self, key: Key, pod: str, uid: str, annotations: Mapping[str, str | None]) -> Object | None:
        """The pod as it is then; None if it is not there any more, or was changed by somebody at that moment."""
        patch = {"metadata": {"uid": uid, "annotations": annotations}}
        try:
            return await self._api.merge(PODS, key.namespace, pod, patch)
        except ApiError as error:
            if error.not_found or "metadata.uid" in error.fields:
                # Its watch may tell so late, or never: it must not be marked for ever.
                known = self._store.pods.get(key.namespace, pod)
                if known is not None and known["metadata"]["uid"] == uid:
                    self._store.pods.remove(known, math.inf)
            elif error.status != 409:
                raise
            return None

    async def write_status(self, key: Key, obj: Object | None, action: WriteStatus, done: Done) -> None:
        """Patch the status of `obj`. Raises NotItsTurn, NotWritten, Changed and Gone."""
        if obj is None:
            return
        refused = done.status_refused
        if refused is not None and time.monotonic() - refused < STATUS_AGAIN_SECONDS:
            raise NotWritten(again=True)
        if not self._budget.take(key, action.urgency, done.status_written):
            raise NotItsTurn
        collection = self._store.of(key.kind)
        try:
            with collection.expecting(obj, patched(status_of(obj), action.patch)):
                written = await self._api.patch_status(RESOURCES[key.kind], obj, action.patch)
        except ApiError as error:
            if error.status in REFUSALS and (action.may_be_refused or error.status in UNFIT):
                # What else there is to do for the object goes on, and the next status is tried in its time.
                done.status_written = time.monotonic()
                log.warning("%s: the API server takes no status for it: %s", key, error)
                return
            if error.status == 403 or (error.status >= 500 and not error.retry_after_seconds):
                # A missing right, or a webhook that fails; a server that has too much to do says until when.
                done.status_refused = time.monotonic()
                log.warning("%s: its status can't be written: %s", key, error)
                raise NotWritten(str(error), again=refused is not None) from error
            if error.status not in (404, 409):
                raise
            found = await self._check_there(key, obj)
            if version_of(found) == version_of(obj):
                raise
            raise Changed from error
        done.status_written, done.status_refused = time.monotonic(), None
        collection.put(written)

    async def _check_there(self, key: Key, obj: Object | None) -> Object:
        """The object as it is now, which is kept. Raises Gone if it is not there, or another one of its name is."""
        found = await self._api.find(RESOURCES[key.kind], key.namespace, key.name)
        if found is None or obj is None or found["metadata"]["uid"] != obj["metadata"]["uid"]:
            raise Gone
        self._store.of(key.kind).put(found)
        return found
