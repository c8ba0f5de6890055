"""The children that a JobQueue is to have, and which of them are to be applied. Pure, like the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from crewline_operator.effects.actions import Action, Apply
from crewline_operator.effects.done import Applied
from crewline_operator.jobqueue.children.deployment import CODE_DIGEST, DeploymentInputs, build_deployment
from crewline_operator.jobqueue.children.disruption_budget import build_disruption_budget
from crewline_operator.jobqueue.children.larger_pod import build_larger_pod
from crewline_operator.jobqueue.children.service_account import build_service_account
from crewline_operator.jobqueue.decision import LastDecision, decision_on
from crewline_operator.jobqueue.has_queue import has_queue, queue_name
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.fingerprint import fingerprint
from crewline_operator.model.key import Object
from crewline_operator.model.settings import Settings
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.scaling.step import Step


def manifests_of(
    jobqueue: JobQueue, observed: Observed, step: Step, decided: LastDecision | None, settings: Settings
) -> list[dict[str, Any]]:
    """The children to have."""
    deployment = build_deployment(
        jobqueue,
        replace(
            _inputs(jobqueue, observed, settings),
            replicas=step.replicas,
            decision=decided or decision_on(observed.deployment),
            has_queue=queue_name(jobqueue, observed) if has_queue(jobqueue, observed) else None,
            going=step.going,
            operator=observed.me.operator,
        ),
    )
    account = [] if jobqueue.worker.service_account else [build_service_account(jobqueue)]
    budget = [] if jobqueue.worker.disruption.max_unavailable is None else [build_disruption_budget(jobqueue)]
    return [*account, *budget, deployment]


def larger_manifest(jobqueue: JobQueue, observed: Observed, settings: Settings) -> dict[str, Any] | None:
    """The pod of a larger worker; None if there is to be none."""
    memory = jobqueue.worker.retry_memory
    return None if memory is None else build_larger_pod(jobqueue, _inputs(jobqueue, observed, settings), memory)


def _inputs(jobqueue: JobQueue, observed: Observed, settings: Settings) -> DeploymentInputs:
    """What the workers' pods depend on."""
    return DeploymentInputs(
        replicas=0,
        image=jobqueue.worker.image or settings.worker_image,
        image_pull_policy=jobqueue.worker.image_pull_policy or settings.worker_image_pull_policy,
        # While the ConfigMap is missing the workers that run keep their code: no rollout into nothing.
        code_digest=_applied_code(observed.deployment) if observed.code.missing else observed.code.digest,
        secret_digest=observed.endpoint.secret_digest if isinstance(observed.endpoint, Endpoint) else None,
    )


def applies_of(manifests: Sequence[dict[str, Any]], observed: Observed) -> list[Action]:
    """Those manifests that are not in place as far as this process knows."""
    children = {
        "Deployment": observed.deployment,
        "ServiceAccount": observed.service_account,
        "PodDisruptionBudget": observed.disruption_budget,
    }
    applies: list[Action] = []
    for manifest in manifests:
        child = children[manifest["kind"]]
        action = Apply(manifest, child["metadata"]["uid"] if child is not None else None)
        if child is None or observed.applied.get(action.kind) != Applied(action.digest, fingerprint(child)):
            applies.append(action)
    return applies


def _applied_code(deployment: Object | None) -> str | None:
    if deployment is None:
        return None
    annotations = deployment["spec"]["template"].get("metadata", {}).get("annotations") or {}
    digest: str | None = annotations.get(CODE_DIGEST)
    return digest
