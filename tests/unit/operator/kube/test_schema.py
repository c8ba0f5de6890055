"""Which CRDs the operator runs with. That the API server tells it their annotation is shown by tests/e2e."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.resources import Resource
from crewline_operator.kube.schema import NAMES, OldSchema, check_crds
from crewline_operator.model.names import SCHEMA_VERSION, SCHEMA_VERSION_ANNOTATION


class Told(Api):
    """An API that tells CRDs with these annotations, or refuses."""

    def __init__(self, version: str | None = None, refuses: int | None = None) -> None:
        self.asked: list[str] = []
        self._version = version
        self._refuses = refuses

    async def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any]:
        self.asked.append(resource.path(namespace, name))
        if self._refuses is not None:
            raise ApiError(self._refuses, "", "no")
        return {"metadata": {"annotations": {SCHEMA_VERSION_ANNOTATION: self._version} if self._version else None}}


@pytest.mark.parametrize("version", [str(SCHEMA_VERSION), str(SCHEMA_VERSION + 1)])
async def test_crds_as_new_as_the_operator_or_newer_are_taken(version: str) -> None:
    api = Told(version)
    await check_crds(api)
    assert api.asked == [f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}" for name in NAMES]


@pytest.mark.parametrize("version", [None, "1", "0", "-1", "two", "²"])
async def test_older_ones_are_refused_with_the_mend(version: str | None) -> None:
    with pytest.raises(OldSchema, match=rf"needs {SCHEMA_VERSION}: upgrade the CRDs .*kubectl apply -f crds/"):
        await check_crds(Told(version))


async def test_without_the_right_to_look_it_runs_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    await check_crds(Told(refuses=403))
    assert "can't be told" in caplog.text


async def test_a_crd_that_is_not_there_is_not_found() -> None:
    with pytest.raises(ApiError) as error:
        await check_crds(Told(refuses=404))
    assert error.value.not_found
