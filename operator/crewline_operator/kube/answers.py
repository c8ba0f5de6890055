"""What the API server answers: JSON of a call, lines of it for a watch, and what it means when it is no success."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp

from crewline_operator.kube.errors import ApiError, retry_after_header


async def answer_of(response: aiohttp.ClientResponse, asked: str) -> dict[str, Any]:
    """The answer of a call that succeeded; raises ApiError for any other."""
    text = await response.read()
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        answer = {"message": text.decode(errors="replace")[:300]}
    if not 200 <= response.status <= 299:
        raise _error(response.status, answer, f"{asked}: HTTP {response.status}", response.headers.get("Retry-After"))
    return answer


def _error(status: int, told: Mapping[str, Any], otherwise: str, retry_after: str | None = None) -> ApiError:
    causes = (told.get("details") or {}).get("causes") or ()
    return ApiError(
        status,
        told.get("reason") or "",
        told.get("message") or otherwise,
        fields=[str(cause.get("field")) for cause in causes],
        retry_after_seconds=retry_after_header(retry_after),
    )


async def events_of(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[bool, dict[str, Any]]]:
    """The events of a watch: whether an object was deleted, and the object. Raises ApiError where one is told."""
    async for line in response.content:
        event = json.loads(line)
        if event["type"] == "ERROR":
            raise _error(event["object"].get("code") or 500, event["object"], "the watch has failed")
        yield event["type"] == "DELETED", event["object"]
