"""What the API server, or what stands before it, says when it takes no calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import RETRY_AFTER_CAP_SECONDS, ApiError, retry_after
from crewline_operator.kube.resources import JOBQUEUES, SECRETS, SERVICE_ACCOUNTS

from tests.unit.operator.kube.serving import served


@asynccontextmanager
async def busy(status: int, headers: Mapping[str, str]) -> AsyncIterator[Api]:
    """An API behind something that takes no calls."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, headers=headers, text="too many requests")

    async with served(refuse) as api:
        yield api


ANSWERS = [
    (429, {"Retry-After": "7"}, 7.0),
    (503, {"Retry-After": "1"}, 1.0),
    (429, {"Retry-After": "86400"}, RETRY_AFTER_CAP_SECONDS),
    (429, {}, 0.0),
    (503, {"Retry-After": "Fri, 01 Jan 2027 00:00:00 GMT"}, 0.0),
]


@pytest.mark.parametrize(("status", "headers", "seconds"), ANSWERS)
async def test_for_how_long_it_wants_to_be_left_alone_is_known(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    async with busy(status, headers) as api:
        with pytest.raises(ApiError, match="too many requests") as refused:
            await api.get(JOBQUEUES, "shop", "emails")
    assert (refused.value.status, retry_after(refused.value)) == (status, seconds)


def test_other_errors_ask_for_nothing() -> None:
    assert retry_after(TimeoutError()) == 0


@pytest.mark.parametrize("name", ["../../other/secrets/redis", "..", ".", "", "a/b", "a%2Fb", "a?b", "A", "a b", "a\n"])
def test_no_name_leads_to_another_object(name: str) -> None:
    assert SECRETS.path("shop", "a.b-1") == "/api/v1/namespaces/shop/secrets/a.b-1"
    for where in ((name, "redis"), ("shop", name)):
        with pytest.raises(ValueError, match="is no object's name"):
            SECRETS.path(*where)


MADE_BY_US = {"manager": "crewline", "operation": "Apply"}
#: As the Deployment controller tells a status, with an annotation.
STATUS = {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"}


@pytest.mark.parametrize(
    ("managed", "is_ours"),
    [
        ([MADE_BY_US], True),
        ([MADE_BY_US, STATUS], True),
        ([MADE_BY_US, {"manager": "kubectl", "operation": "Update"}], False),
        ([{"manager": "kubectl", "operation": "Apply"}, STATUS], False),
        ([], False),
        (None, False),
    ],
)
async def test_what_is_there_although_it_was_to_be_made_is_ours_if_nobody_else_made_it(
    managed: list[dict[str, str]] | None, is_ours: bool
) -> None:
    asked = []
    manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "emails", "namespace": "shop"}}

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response(manifest | {"metadata": {"name": "emails", "managedFields": managed}})

    async with served(answer) as api:
        if is_ours:
            assert (await api.apply(SERVICE_ACCOUNTS, manifest))["metadata"]["name"] == "emails"
            assert asked == [manifest], "nothing is taken back"
        else:
            with pytest.raises(ApiError, match="made by somebody else"):
                await api.apply(SERVICE_ACCOUNTS, manifest)
            assert len(asked) == 2


async def test_a_watch_that_is_refused_says_for_how_long() -> None:
    async with busy(429, {"Retry-After": "7"}) as api:
        with pytest.raises(ApiError) as refused:
            async with api.watch(SECRETS, "shop", "redis"):
                pass
    assert (refused.value.status, retry_after(refused.value)) == (429, 7.0)


async def test_a_name_is_no_selector() -> None:
    async with busy(200, {}) as api:
        for namespace, name in (("shop", "redis,metadata.name!=x"), ("../other", "redis")):
            with pytest.raises(ValueError, match="is no object's name"):
                async with api.watch(SECRETS, namespace, name):
                    pass
