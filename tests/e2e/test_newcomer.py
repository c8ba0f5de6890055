"""What a newcomer types and sees: the example's own manifests, applied by hand, and what kubectl tells about them."""

import re

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.paths import REPOSITORY
from tests.e2e.scene import OPERATOR, SYSTEM, Scene, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = REPOSITORY / "examples" / "access-log"
CHUNK = (EXAMPLE / "log" / "chunk-000.log").read_text()


async def test_the_example_works_as_its_files_say(scene: Scene) -> None:
    for name, source in (("access-log-handlers", "handlers.py"), ("digest-handlers", "digest.py")):
        await scene.kubectl("create", "configmap", name, f"--from-file={EXAMPLE}/{source}")
    for manifest in ("jobqueue.yaml", "digest.yaml"):
        await scene.kubectl("apply", "--validate=strict", "-f", f"{EXAMPLE}/{manifest}")
    job = await scene.queue("access-log").add("count", {"chunk": "chunk-000", "text": CHUNK})
    counted = await job.result(timeout=90)
    assert counted["requests"] == len(CHUNK.splitlines()) == sum(counted["status"].values())

    await scene.wait("access-log", "has counted it", lambda obj: obj["status"]["counts"]["active"] == 0)
    ready = await scene.wait_condition("digest", "Ready", "Scheduled", kind="ScheduledJob")
    assert ready["status"] == "True"
    table = await scene.kubectl("get", "jobqueues,scheduledjobs")
    described = await scene.kubectl("describe", "jobqueue/access-log")
    for pattern, text in (
        (r"^jobqueue.crewline.dev/access-log +(Ready|Scaling) +\d/\d +0 +0 +0 +0 +0 ", table),
        (r"^scheduledjob.crewline.dev/digest +Scheduled +\* \* \* \* \* +Europe/Berlin +\d ", table),
        (r"^  Normal +Created .*created Deployment and ServiceAccount access-log", described),
        (r"^  Normal +ScaledUp .*0 -> 1 workers: waiting 1, active 0: 1 job / 20 per replica -> 1 replica", described),
    ):
        assert re.search(pattern, text, re.MULTILINE), text

    for manifest in ("digest.yaml", "jobqueue.yaml"):
        await scene.kubectl("delete", "-f", f"{EXAMPLE}/{manifest}", "--wait=false")
    await scene.kubectl("delete", "configmap", "access-log-handlers", "digest-handlers")
    for name in ("access-log", "digest"):
        await until("the workers are gone", lambda: scene.pods(name), lambda pods: pods == [])  # noqa: B023


async def test_the_operator_meets_the_restricted_standard_and_has_just_the_rights_it_uses(scene: Scene) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    words = ("label", "--dry-run=server", "--overwrite", "--warnings-as-errors", "namespace", SYSTEM, label)
    await scene.cluster_kubectl(*words)

    account = f"--as=system:serviceaccount:{SYSTEM}:{OPERATOR}"
    may = ("auth", "can-i", account, "-n", scene.namespace)
    assert await scene.cluster_kubectl(*may, "patch", "deployments.apps") == "yes\n"
    for denied in (
        "list secrets",
        "list configmaps",
        "update secrets",
        "create secrets",
        "delete deployments.apps",
        "patch jobqueues",
    ):
        with pytest.raises(ClusterError, match="with 1:\n    no"):
            await scene.cluster_kubectl(*may, *denied.split())
