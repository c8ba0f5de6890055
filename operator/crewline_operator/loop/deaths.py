"""Reconciles the deaths of workers that a pod tells of: observe, plan, have it carried out.

What a pod tells is taken in when it is seen, since the pod may be gone before it is dealt with. All is known again from
the pods that are listed when the operator starts; what it has dealt with then has no workers in Redis any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from crewline_operator.deaths.causes import Death, deaths_of
from crewline_operator.deaths.observe import DeathObserver
from crewline_operator.deaths.plan import plan
from crewline_operator.effects.executor import Executor
from crewline_operator.jobqueue.serving import serving
from crewline_operator.kube.store import Store
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key, Object
from crewline_operator.model.names import JOBQUEUE_LABEL
from crewline_operator.redis.bulkhead import Busy

KIND = "Pod"
#: The leases of a dead worker are over by then.
GIVE_UP_SECONDS = 60.0
#: Until the queue is read, or its Redis has room.
AGAIN_SECONDS = 0.2


@dataclass
class _Pod:
    uid: str
    jobqueue: Key
    #: Deaths that are not dealt with, and when they were seen, by the monotonic clock.
    deaths: dict[Death, float] = field(default_factory=dict)
    #: Containers that are dealt with.
    done: set[str] = field(default_factory=set)


class Deaths:
    """Has what dead workers ran handed back."""

    def __init__(
        self,
        *,
        store: Store,
        observer: DeathObserver,
        executor: Executor,
        add: Callable[[Key], None],
        requeue: Callable[[Key, float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._observer = observer
        self._executor = executor
        self._add = add
        self._requeue = requeue
        self._clock = clock
        self._pods: dict[Key, _Pod] = {}

    @property
    def known(self) -> set[Key]:
        """The pods of which something is kept."""
        return set(self._pods)

    def add_all(self) -> None:
        """Have all looked at of which something is kept."""
        for key in self._pods:
            self._add(key)

    def on_pod(self, pod: Object) -> None:
        """Take in what a pod tells, which may be gone."""
        metadata = pod["metadata"]
        key = Key(KIND, metadata["namespace"], metadata["name"])
        known = self._pods.get(key)
        deaths = deaths_of(pod)
        jobqueue = (metadata.get("labels") or {}).get(JOBQUEUE_LABEL)
        if jobqueue and deaths and (known is None or known.uid != metadata["uid"]):
            known = self._pods[key] = _Pod(metadata["uid"], Key("JobQueue", key.namespace, jobqueue))
        if known is not None:
            self._take_in(known, deaths)
            self._add(key)

    def _take_in(self, known: _Pod, deaths: list[Death]) -> None:
        seen = {death.container: at for death, at in known.deaths.items()}
        # As they are told now, the earlier one first, and those that are told of no more before them.
        told = {death.container for death in deaths}
        now = self._clock()
        known.deaths = {death: at for death, at in known.deaths.items() if death.container not in told} | {
            death: seen.get(death.container, now) for death in deaths if death.container not in known.done
        }

    async def reconcile(self, key: Key) -> None:
        """Hand back what the dead workers of a pod ran. Raises what Redis' calls raise; then it is tried again."""
        pod = self._pods.get(key)
        if pod is None:
            return
        self._give_up(pod)
        jobqueue = self._store.jobqueues.get(pod.jobqueue.namespace, pod.jobqueue.name)
        if jobqueue is not None and pod.deaths:
            again_in = await self._hand_back(key, pod, jobqueue)
            if again_in is not None:
                self._requeue(key, again_in)
                return
        there = self._store.pods.get(key.namespace, key.name)
        if self._pods.get(key) is pod and (there is None or there["metadata"]["uid"] != pod.uid):
            del self._pods[key]

    async def _hand_back(self, key: Key, pod: _Pod, obj: Object) -> float | None:
        """In how many seconds to look again; None if all is done."""
        if not self._executor.leads:
            # It is kept: the one that leads may have died in the middle of it. Whoever begins to lead looks at all.
            return max(pod.deaths.values()) + GIVE_UP_SECONDS - self._clock() + AGAIN_SECONDS
        try:
            jobqueue = serving(obj)
            observed = await self._observer.observe(key, jobqueue, pod.deaths)
        except (Unreadable, Busy):
            observed = None
        if observed is None:
            return AGAIN_SECONDS
        planned = plan(jobqueue, observed)
        if not await self._executor.carry_out(pod.jobqueue, obj, planned.actions):
            return AGAIN_SECONDS
        pod.done |= planned.found
        pod.deaths = {death: at for death, at in pod.deaths.items() if death.container not in planned.found}
        return planned.check_after_seconds

    def _give_up(self, pod: _Pod) -> None:
        """Its leases decide, or it has left nothing behind."""
        for death, seen in list(pod.deaths.items()):
            if self._clock() - seen > GIVE_UP_SECONDS:
                pod.done.add(death.container)
                del pod.deaths[death]
