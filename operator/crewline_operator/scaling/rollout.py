"""Whom a rollout takes: workers of earlier templates that have nothing to do, where newer ones are there instead. Pure.

A Deployment lowers its earlier ReplicaSets when newer pods are ready, and these go by the same marks as in a scale-in.
So as many workers of earlier templates as newer ones are ready for drain, and are marked once they have nothing. Where
nobody guards the others it is a race: the Deployment waits a while after a pod got ready, for this to be done by then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from crewline_operator.scaling.fleet import Fleet, Pod
from crewline_operator.scaling.step import Step, ask_later, in_order, is_to_answer, keep


def roll(wanted: int, fleet: Fleet, to_hear: Sequence[str]) -> Step:
    """Bring as many workers of earlier templates as are needed no more to where they have nothing, and mark these.

    Nothing is scaled in meanwhile: a rollout kills pods when it likes, and it is for the marks that it kills these.
    """
    replicas, waits = max(wanted, fleet.replicas), "the rollout ends first" if wanted < fleet.replicas else ""
    to_go = {pod.uid for pod in fleet.to_go}
    due, others = _replaced_in_order(fleet, to_go)
    chosen = [*fleet.to_go, *due, *others[: max(fleet.surplus(replicas) - len(to_go) - len(due), 0)]]
    if fleet.workers is None and len(chosen) > len(to_go):
        return ask_later(replicas, fleet, waits)
    step, spare = keep(replicas, fleet, to_hear, chosen), [pod for pod in chosen if pod.uid not in to_go]
    return replace(
        step,
        # One that works again must not be preferred to those that have nothing.
        unmark=[*step.unmark, *(pod for pod in spare if pod.marked and not fleet.is_idle(pod))],
        mark=[*step.mark, *(pod for pod in spare if not pod.marked and fleet.is_idle(pod))],
        waits=waits,
        soon=any(is_to_answer(pod, fleet) for pod in spare),
    )


def _replaced_in_order(fleet: Fleet, to_go: Collection[str]) -> tuple[list[Pod], list[Pod]]:
    """The pods of earlier templates that are to go now, and the others as a rollout takes them.

    A Deployment lowers the oldest ReplicaSet first, and goes on only once that has no more pods than it is to have.
    """
    outdated = [pod for pod in in_order(fleet) if pod.outdated and pod.uid not in to_go]
    due, others = [], []
    for name, found in sorted(fleet.sets.items(), key=lambda each: each[1].created):
        pods = [pod for pod in outdated if pod.rollout == name]
        surplus = max(len(pods) - found.replicas, 0)
        due += pods[:surplus]
        others += pods[surplus:]
    return due, others + [pod for pod in outdated if pod.rollout not in fleet.sets]
