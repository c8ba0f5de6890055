"""Whatever can be called may be a handler, and gets its data as the type that its annotation names."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from crewline.errors import InvalidOption
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.worker import Worker
from crewline.worker.handlers.routing import Router
from crewline.worker.handlers.targets import Targets


@dataclass
class Unhashable:
    """It is compared by what it holds."""

    seen: list[int] = field(default_factory=list)

    async def __call__(self, job: Any, data: int) -> int:
        self.seen.append(data)
        return data


class Plain:
    def __call__(self, job: Any, data: int) -> int:
        return data

    def method(self, job: Any, data: int) -> int:
        return data


async def configured(config: str, job: Any, data: int) -> int:
    return data


def job_with(data: Any) -> Job:
    return Job(Queue("emails"), "1", "n", data, {}, "token")


HANDLERS = [
    (Unhashable(), "async"),
    (Plain(), "thread"),
    (Plain().method, "thread"),
    (functools.partial(configured, "config"), "async"),
    (functools.partial(functools.partial(Plain()), data=3), "thread"),
]


@pytest.mark.parametrize(("handler", "execution"), HANDLERS)
async def test_what_can_be_called_is_a_handler_and_has_its_data_checked(handler: Any, execution: str) -> None:
    target = Targets(handler, None).all()[0]
    assert target.execution == execution
    if "data" in getattr(handler, "keywords", {}):
        assert target.arguments(job_with("no number"))[1:] == ()
    else:
        assert target.arguments(job_with("5"))[1] == 5
    Worker("emails", handler)


async def test_an_object_without_a_hash_is_one_target_on_all_its_ways() -> None:
    handler = Unhashable()
    router = Router()
    router.on("a")(handler)
    targets = Targets(router, None)
    job = Job(Queue("emails"), "1", "a", 5, {}, "token")
    assert targets.find(job) is targets.find(job) is targets.all()[0]
    assert await targets.find(job).call(*targets.find(job).arguments(job)) == 5
    assert handler.seen == [5]


class BadlyAnnotated:
    def __call__(self, job: Any, data: "nowhere.Nothing") -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
        ...


def badly_annotated(job: Any, data: "Plain.nothing") -> None:  # type: ignore[name-defined]  # noqa: UP037
    ...


@pytest.mark.parametrize("handler", [BadlyAnnotated(), functools.partial(BadlyAnnotated()), badly_annotated])
def test_an_annotation_that_can_not_be_read_is_said(handler: Any) -> None:
    with pytest.raises(InvalidOption, match="its annotation can't be read"):
        Targets(handler, None)


class Class:
    def __init__(self, job: Any) -> None: ...


class Yields:
    def __call__(self, job: Any) -> Any:
        yield 1


def no_job() -> None: ...


def yields(job: Any) -> Any:
    yield 1


async def yields_async(job: Any) -> Any:
    yield 1


def by_name(job: Any, *, tenant: str) -> None: ...


def too_many(job: Any, data: Any, more: Any) -> None: ...


UNFIT = [
    (no_job, "takes no job: let it take (job) or (job, data)"),
    (lambda *, job: None, "needs 'job' by its name, which no worker gives: give it a default"),
    (Class, "is a class, and no job comes to an object"),
    (Class(None).__init__, ""),
    (yields, "is a generator, of which nothing would run"),
    (yields_async, "is a generator, of which nothing would run"),
    (functools.partial(yields), "is a generator, of which nothing would run"),
    (Yields(), "is a generator, of which nothing would run"),
    (by_name, "needs 'tenant' by its name, which no worker gives"),
    (too_many, "must take (job) or (job, data), not 3 arguments"),
    (functools.partial(too_many, "config"), ""),
    (functools.partial(by_name, tenant="a"), ""),
    (lambda *args: None, ""),
    (lambda job=None: None, ""),
    (print, ""),
]


@pytest.mark.parametrize(("handler", "said"), UNFIT)
def test_what_can_be_called_and_is_no_handler_is_refused_at_once(handler: Any, said: str) -> None:
    router = Router()
    router.on("a")(handler)
    for each in (handler, router):
        if said:
            with pytest.raises(InvalidOption, match=re.escape(said)):
                Worker("emails", each)
        else:
            Worker("emails", each)
