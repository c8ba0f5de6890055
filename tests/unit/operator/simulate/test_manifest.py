"""The JobQueue to try is read as the operator reads it; what the API server would refuse is told with its line."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from crewline_operator.scaling.spec import JobsPerReplica, LatencyObjective
from crewline_operator.simulate.manifest import CONCURRENCY, FIELDS, ManifestError, Tried, read_manifest

from tests.unit.operator.test_crds import field


def manifest(scaling: str = "", worker: str = "{handler: h:h}") -> str:
    return f"kind: JobQueue\nmetadata: {{name: emails}}\nspec:\n  worker: {worker}\n  scaling:\n{scaling}"


def read(text: str, jobqueue: str | None = None) -> Tried:
    return read_manifest("queue.yaml", text, jobqueue)


def test_the_scaling_of_a_jobqueue_is_read_with_its_defaults() -> None:
    tried = read(manifest("    maxReplicas: 7\n", "{concurrency: 3}"))
    assert tried.name == "emails"
    assert (tried.scaling.max_replicas, tried.scaling.min_replicas) == (7, 0)
    assert (tried.scaling.target, tried.scaling.concurrency) == (JobsPerReplica(3), 3)


def test_it_is_found_among_other_objects() -> None:
    others = "kind: ConfigMap\n---\n" + manifest("    target: {latencyObjectiveSeconds: 9}\n") + "---\nkind: Secret\n"
    assert read(others).scaling.target == LatencyObjective(9)


def test_one_of_several_is_named() -> None:
    several = manifest() + "---\n" + manifest("    maxReplicas: 3\n").replace("emails", "letters")
    with pytest.raises(ManifestError, match="several JobQueues in it, emails, letters: name one with --jobqueue"):
        read(several)
    assert read(several, "letters").scaling.max_replicas == 3
    with pytest.raises(ManifestError, match="there is no JobQueue 'mails' in it, but 'emails', 'letters'"):
        read(several, "mails")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: JobQueue\nspec: [\n", "queue.yaml, line 3: this is no YAML: "),
        ("a: \x1b\n", "queue.yaml: this is no YAML: "),
        ("", "queue.yaml: there is no JobQueue in it: it needs kind: JobQueue"),
        ("5\n", "queue.yaml: there is no JobQueue in it"),
        ("kind: JobQueue\nspec: 5\n", "queue.yaml, line 2: spec is '5', not an object"),
        ("kind: JobQueue\n", "queue.yaml, line 1: spec is 'None', not an object"),
        (manifest("    maxReplicas: many\n"), "queue.yaml, line 6: spec.scaling.maxReplicas is 'many', not a whole"),
        (manifest("    mode: operator\n"), "queue.yaml, line 6: spec.scaling.mode is 'operator', not Operator or Ext"),
        (manifest("    mode: External\n"), "queue.yaml, line 6: spec.scaling.mode is External: others decide then"),
        (manifest("    max: 5\n"), "queue.yaml, line 6: spec.scaling.max is not known: there are mode, minReplicas"),
        (
            manifest("    target:\n      jobs: 5\n"),
            "queue.yaml, line 7: spec.scaling.target.jobs is not known: there are jobsPerReplica, latencyObj",
        ),
        (
            manifest("    target: {jobsPerReplica: 5, utilizationPercent: 50}\n"),
            "queue.yaml, line 6: spec.scaling.target has to have exactly one of jobsPerReplica, latencyObjectiveSeco",
        ),
        (manifest("    target: {}\n"), "queue.yaml, line 6: spec.scaling.target has to have exactly one of"),
        (
            manifest("    target:\n      utilizationPercent: 500\n"),
            "queue.yaml, line 7: spec.scaling.target.utilizationPercent is 500: it has to be from 1 to 100",
        ),
        (
            manifest("    minReplicas: 4\n    maxReplicas: 2\n"),
            "queue.yaml, line 7: spec.scaling.maxReplicas is less than minReplicas: raise it, or lower minReplicas",
        ),
        (
            manifest("    behavior: {panicWindowSeconds: 90}\n"),
            "queue.yaml, line 6: spec.scaling.behavior.panicWindowSeconds is more than stableWindowSeconds: lower it",
        ),
        (
            manifest("    fallback: {replicas: 11}\n"),
            "queue.yaml, line 6: spec.scaling.fallback.replicas is more than maxReplicas: lower it, or raise max",
        ),
        (manifest("    1: 2\n"), "queue.yaml, line 6: spec.scaling.1 is not known"),
        (manifest("    [1]: 2\n"), "queue.yaml, line 6: this is no YAML: found unhashable key"),
        ("{kind: JobQueue, {a: b}: c}\n", "queue.yaml, line 1: this is no YAML: found unhashable key"),
        ("kind: JobQueue\n<<: 5\n", "queue.yaml, line 2: this is no YAML: expected a mapping"),
        (manifest("", "!!python/object:os.system {}"), "queue.yaml, line 4: this is no YAML: could not determine"),
        (manifest("    minReplicas: !!int abc\n"), "queue.yaml, line 1: a value in here is none of its kind: invalid"),
        (manifest("    minReplicas: 2024-13-45\n"), "queue.yaml, line 1: a value in here is none of its kind: month"),
        (manifest(f"    minReplicas: {'9' * 5000}\n"), "queue.yaml, line 1: a value in here is none of its kind: Exc"),
        (manifest(f"    minReplicas: 0x{'f' * 5000}\n"), "queue.yaml, line 6: spec.scaling.minReplicas is a number of"),
        (manifest(f"    minReplicas: [0x{'f' * 5000}]\n"), "queue.yaml, line 6: spec.scaling.minReplicas is 'a number"),
        (manifest(f"    minReplicas: {'[' * 5000}\n"), "queue.yaml, line 1: this is nested too deeply"),
        (
            manifest("", "{concurrency: 10001}"),
            "queue.yaml, line 4: spec.worker.concurrency is 10001: it has to be fro",
        ),
        (
            manifest("    maxReplicas: 10000\n", "{concurrency: 5000}"),
            "queue.yaml, line 6: spec.scaling.maxReplicas x spec.worker.concurrency are more than the 10000000 slots",
        ),
        (manifest("", "{concurrency: 0}"), "queue.yaml, line 4: spec.worker.concurrency is '0', not a whole number"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_field(text: str, says: str) -> None:
    with pytest.raises(ManifestError) as error:
        read(text)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


def test_a_list_that_holds_others_a_million_times_is_told_by_its_beginning() -> None:
    bomb = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    bomb += [f"{name}: &{name} [{', '.join([f'*{of}'] * 10)}]" for of, name in itertools.pairwise("abcdefghij")]
    with pytest.raises(ManifestError, match=r"line 16: spec\.scaling\.minReplicas is '\[\[\["):
        read("\n".join([*bomb, manifest("    minReplicas: *j\n")]))


def test_the_fields_and_bounds_are_those_of_the_crd() -> None:
    def bounds(schema: dict[str, Any]) -> Any:
        if schema["type"] == "object":
            return {name: bounds(inner) for name, inner in schema["properties"].items()}
        return (schema["minimum"], schema["maximum"]) if schema["type"] == "integer" else None

    assert bounds(field("jobqueue", "spec.scaling")) == FIELDS
    assert bounds(field("jobqueue", "spec.worker")["properties"]["concurrency"]) == CONCURRENCY


def test_the_defaults_are_those_of_the_crd() -> None:
    written = manifest("    behavior: {}\n    fallback: {replicas: 1}\n")
    scaling = read(written).scaling
    crd = field("jobqueue", "spec.scaling")
    behavior = crd["properties"]["behavior"]["properties"]
    assert scaling.behavior.stable_seconds == behavior["stableWindowSeconds"]["default"]
    assert scaling.behavior.panic_seconds == behavior["panicWindowSeconds"]["default"]
    assert scaling.fallback is not None
    assert scaling.fallback.after_seconds == crd["properties"]["fallback"]["properties"]["afterSeconds"]["default"]
    assert {
        "mode": scaling.mode, "minReplicas": scaling.min_replicas, "maxReplicas": scaling.max_replicas,
        "idleSeconds": scaling.idle_seconds,
    } == crd["default"]  # fmt: skip


@pytest.mark.parametrize("example", sorted((Path(__file__).parents[4] / "examples").rglob("*.yaml")), ids=str)
def test_every_jobqueue_of_the_examples_can_be_tried(example: Path) -> None:
    text = example.read_text()
    for each in yaml.safe_load_all(text):
        if each and each["kind"] == "JobQueue":
            assert read(text, each["metadata"]["name"]).scaling.max_replicas
