"""The pages stay true where a machine can tell: every field of the API is there, every link leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests import PAGES, ROOT


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of the fields that a user sets: those below a Pod's own types are Kubernetes' to explain."""
    properties = schema.get("properties")
    if not properties or path.rpartition(".")[2] in ("resources", "secretKeyRef", "configMapKeyRef"):
        yield path
        return
    for name, below in properties.items():
        yield from fields(below, f"{path}.{name}".lstrip("."))


@pytest.mark.parametrize("kind", ["jobqueue", "scheduledjob"])
def test_every_field_of_the_spec_is_on_its_page(kind: str) -> None:
    crd = yaml.safe_load((ROOT / "crds" / f"{kind}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    page = (ROOT / "docs" / f"{kind}.md").read_text()
    named = set(re.findall(r"`([A-Za-z.]+)`", page))
    assert set(fields(schema)) <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", ["jobqueue.md", "scheduledjob.md"])
def test_every_reason_on_a_page_is_one_that_the_operator_gives(page: str) -> None:
    operator = "\n".join(file.read_text() for file in (ROOT / "operator").rglob("*.py"))
    text = (ROOT / "docs" / page).read_text()
    reasons = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][A-Za-z]*)+)`", text)) - {"ScheduledJob", "JobQueue"}
    assert reasons
    assert {reason for reason in reasons if f'"{reason}"' not in operator} == set()
