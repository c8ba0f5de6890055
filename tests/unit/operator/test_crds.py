"""The CRDs: what they let pass the operator can read. That the API server enforces them is shown by tests/e2e."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from crewline_operator.jobqueue.spec import EXECUTIONS
from crewline_operator.jobqueue.status import NUMBERS
from crewline_operator.kube.schema import NAMES
from crewline_operator.model.names import SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION
from crewline_operator.scheduledjob.schedule import Schedule
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.factories import NOW, jobqueue

CRDS = Path(__file__).resolve().parents[3] / "crds"


def schema(name: str) -> Any:
    crd = yaml.safe_load((CRDS / f"{name}.yaml").read_text())
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def field(name: str, path: str) -> Any:
    node = schema(name)
    for part in path.split("."):
        node = node["properties"][part]
    return node


#: Field -> what its rule's message calls it.
FIELDS = {
    "second": "second",
    "minute": "minute",
    "hour": "hour",
    "day": "day of month",
    "month": "month",
    "weekday": "day of week",
}


def cron_patterns() -> dict[str, re.Pattern[str]]:
    """The pattern of each field, out of the rules of spec.schedule. Go's RE2 and Python agree on what is used there."""
    rules = field("scheduledjob", "spec.schedule")["x-kubernetes-validations"]
    found = {}
    for name, words in FIELDS.items():
        (rule,) = [each["rule"] for each in rules if f"the {words} " in each["message"]]
        found[name] = re.compile(re.findall(r"matches\('([^']+)'\)", rule)[-1])
    return found


PATTERNS = cron_patterns()


def admits(expression: str) -> bool:
    """Whether the rules on single fields let an expression pass (those on ranges and missing days are apart)."""
    count = len(expression.split())
    return count in (5, 6) and all(
        pattern.match(expression.upper()) for name, pattern in PATTERNS.items() if count == 6 or name != "second"
    )


MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def goes_down(expression: str) -> bool:
    """A range may mix a name and a number."""
    ranges = re.findall(r"(\d+|[A-Z]{3})-(\d+|[A-Z]{3})", expression.upper())
    return any(number_of(first) > number_of(last) for first, last in ranges)


def number_of(term: str) -> int:
    if term.isdigit():
        return int(term)
    return MONTHS.index(term) + 1 if term in MONTHS else DAYS.index(term) if term in DAYS else 0


def test_a_range_that_goes_down_from_a_name_to_a_number_or_back_is_told_from_one_that_does_not() -> None:
    rules = field("scheduledjob", "spec.schedule")["x-kubernetes-validations"]
    (rule,) = [each["rule"] for each in rules if "(1-FRI, JAN-3)" in each["message"]]
    refused = [re.compile(pattern) for pattern in re.findall(r"matches\('([^']+)'\)", rule)]
    assert len(refused) == 2
    for names, numbers, before in ((DAYS, range(8), "0 0 * * "), (MONTHS, range(1, 13), "0 0 1 ")):
        for name, number, form in itertools.product(names, numbers, ("{}-{}", "{}-0{}")):
            for ends in ((name, str(number)), (str(number), name)):
                term = form.format(*ends) if number < 10 and ends[0] == name else "-".join(ends)
                for shown in (term, f"1,{term}", f"{term},12", f"{term}/2", f"{term} *"):
                    found = any(pattern.search((before + shown).upper()) for pattern in refused)
                    assert found == goes_down(term), shown


ACCEPTED = [
    "* * * * *", "*/5 * * * *", "0 9 * * MON-FRI", "15,45 8-18/2 1,15 JAN,jul *", "0 0 L * *", "0 0 LW * *",
    "0 12 * * FRI#2", "0 12 * * 5L", "*/10 * * * * *", "30 0 0 1 1 *", "00 05 01 01 07", "5/15 * * * *",
    "0 0 31 JAN,MAR *",
]  # fmt: skip
REFUSED = [
    "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * FOO *", "* * * * 8", "* * * * FUN",
    "*/0 * * * *", "1- * * * *", ",1 * * * *", "1,,2 * * * *", "a * * * *", "* * * *", "* * * * * * *", "@hourly",
    "60 * * * * *", "* * * * MON#6", "* * * * 5L,", "* * L-3 * *", "-1 * * * *", "*5 * * * *",
]  # fmt: skip


@pytest.mark.parametrize("expression", ACCEPTED)
def test_what_is_accepted_cronsim_reads(expression: str) -> None:
    assert admits(expression)
    assert not goes_down(expression)
    assert Schedule(expression, "Etc/UTC").next_after(NOW) is not None


@pytest.mark.parametrize("expression", REFUSED)
def test_what_is_refused_cronsim_does_not_read_either(expression: str) -> None:
    assert not admits(expression)
    if expression != "* * L-3 * *":
        with pytest.raises(CronSimError):
            CronSim(expression, NOW)


TERMS = st.sampled_from(
    [
        "*",
        "0",
        "1",
        "5",
        "7",
        "12",
        "23",
        "24",
        "29",
        "30",
        "31",
        "32",
        "59",
        "60",
        "99",
        "00",
        "07",
        "JAN",
        "feb",
        "DEC",
        "SUN",
        "MON",
        "sat",
        "L",
        "LW",
        "5L",
        "7L",
        "FRI#2",
        "1#5",
        "1#6",
        "X",
    ]
)
RANGES = st.builds("{}-{}".format, TERMS, TERMS)
STEPS = st.builds("{}/{}".format, TERMS | RANGES, st.sampled_from(["1", "2", "0", "15", "100", "x", ""]))
ITEMS = TERMS | RANGES | STEPS
CRON_FIELDS = ITEMS | st.builds("{},{}".format, ITEMS, ITEMS)


@settings(max_examples=800, deadline=None)
@given(st.lists(st.one_of(st.just("*"), CRON_FIELDS), min_size=5, max_size=6))
def test_no_field_passes_that_cronsim_refuses(fields: list[str]) -> None:
    expression = " ".join(fields)
    if not admits(expression) or goes_down(expression):
        return
    # A day that no month has is for a rule of its own, and for a condition where CEL can't tell.
    assert error_of(expression) in (None, "Bad day-of-month")


def error_of(expression: str) -> str | None:
    try:
        CronSim(expression, NOW)
    except CronSimError as error:
        return str(error)
    return None


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4), st.integers(0, 70))
def test_plain_numbers_pass_exactly_if_cronsim_takes_them(position: int, number: int) -> None:
    fields = ["*"] * 5
    fields[position] = str(number)
    expression = " ".join(fields)
    assert admits(expression) == (error_of(expression) is None)


def described(node: Any, path: str = "") -> list[str]:
    """Paths of fields without a description, which `kubectl explain` would show bare."""
    missing = []
    for name, child in (node.get("properties") or {}).items():
        here = f"{path}.{name}"
        if "description" not in child:
            missing.append(here)
        missing += described(child, here)
        missing += described(child["items"], f"{here}[]") if "items" in child else []
    return missing


@pytest.mark.parametrize("name", ["jobqueue", "scheduledjob"])
def test_every_field_is_explained(name: str) -> None:
    assert described(schema(name)) == []


@pytest.mark.parametrize("name", ["jobqueue", "scheduledjob"])
def test_every_rule_has_a_message_that_names_its_field(name: str) -> None:
    def rules(node: Any) -> list[dict[str, str]]:
        found = list(node.get("x-kubernetes-validations") or ())
        children = [*(node.get("properties") or {}).values(), *([node["items"]] if "items" in node else [])]
        return found + [rule for child in children for rule in rules(child)]

    found = rules(schema(name))
    assert found
    for rule in found:
        assert re.match(r"(spec|metadata)\.\w+", rule["message"]), rule


def unbounded(node: Any, path: str = "") -> list[str]:
    """Paths of texts, lists and maps that may be of any length: etcd, and whoever lists the objects, would bear it."""
    found = []
    text = node.get("type") == "string" or node.get("x-kubernetes-int-or-string")
    for kind, bound in ((text and "enum" not in node, "maxLength"), (node.get("type") == "array", "maxItems")):
        found += [f"{path}: {bound}"] if kind and bound not in node else []
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        found += ([] if "maxProperties" in node else [f"{path}: maxProperties"]) + unbounded(values, f"{path}{{}}")
    for name, child in (node.get("properties") or {}).items():
        found += unbounded(child, f"{path}.{name}")
    return found + (unbounded(node["items"], f"{path}[]") if "items" in node else [])


@pytest.mark.parametrize("name", ["jobqueue", "scheduledjob"])
def test_nothing_in_an_object_is_without_a_bound(name: str) -> None:
    assert unbounded(schema(name)) == []


def enums(node: Any, path: str = "") -> dict[str, list[str]]:
    found = {path: node["enum"]} if "enum" in node else {}
    for name, child in (node.get("properties") or {}).items():
        found |= enums(child, f"{path}.{name}")
    return found | (enums(node["items"], f"{path}[]") if "items" in node else {})


@pytest.mark.parametrize("name", ["jobqueue", "scheduledjob"])
def test_choices_are_written_as_kubernetes_writes_them(name: str) -> None:
    found = enums(schema(name))
    assert found
    for path, choices in found.items():
        assert all(re.fullmatch(r"[A-Z][A-Za-z]*", choice) for choice in choices), path


def test_every_execution_is_one_that_the_engine_knows() -> None:
    assert set(EXECUTIONS) == set(field("jobqueue", "spec.worker.execution")["enum"])
    for written, called in EXECUTIONS.items():
        assert jobqueue(worker={"handler": "h:h", "execution": written}).worker.execution == called


def test_short_names_and_selectable_fields_are_ours_and_there() -> None:
    crds = {name: yaml.safe_load((CRDS / f"{name}.yaml").read_text())["spec"] for name in ("jobqueue", "scheduledjob")}
    assert {name: crd["names"]["shortNames"] for name, crd in crds.items()} == {
        "jobqueue": ["jq"],
        "scheduledjob": ["schj"],
    }, "sj is that of KEDA's ScaledJob"
    for name, crd in crds.items():
        paths = [each["jsonPath"].removeprefix(".") for each in crd["versions"][0]["selectableFields"]]
        assert paths
        assert all(field(name, path)["type"] == "string" for path in paths)


@pytest.mark.parametrize("name", ["jobqueue", "scheduledjob"])
def test_the_crds_are_as_new_as_the_operator(name: str) -> None:
    crd = yaml.safe_load((CRDS / f"{name}.yaml").read_text())
    assert crd["metadata"]["name"] in NAMES
    assert crd["metadata"]["annotations"][SCHEMA_VERSION_ANNOTATION] == str(SCHEMA_VERSION)


def test_numbers_are_fields_of_the_status() -> None:
    assert set(NUMBERS) <= set(field("jobqueue", "status")["properties"])
