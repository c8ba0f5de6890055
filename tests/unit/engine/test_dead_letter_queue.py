"""``dead_letter_queue`` means the same wherever it is said, and what can't be one is refused when an object is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from crewline import DeadLetters, InvalidOption, JobQueue, Queue, Worker, sync

MAKERS: dict[str, Callable[..., Any]] = {
    "Queue": Queue,
    "sync.Queue": sync.Queue,
    "Worker": lambda name, **options: Worker(name, print, **options),
    "JobQueue": JobQueue,
}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    ("letters", "said"),
    [
        ("a:b", "dead_letter_queue 'a:b' must not contain ':'"),
        ("emails", "dead_letter_queue 'emails' must not be the queue itself"),
        ("\udcff", "dead_letter_queue .* no Unicode text"),
        (5, "dead_letter_queue 5 must be a string"),
        (False, "dead_letter_queue False must be a string"),
    ],
)
def test_what_cant_be_a_dead_letter_queue_is_refused_at_once_by_name(maker: str, letters: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{said}"):
        MAKERS[maker]("emails", dead_letter_queue=letters)


@pytest.mark.parametrize(
    ("name", "letters", "where"),
    [("emails", None, "emails-dlq"), ("emails", "", ""), ("emails", "graves", "graves"), ("emails-dlq", None, "")],
)
def test_a_queue_and_its_worker_mean_the_same_place(name: str, letters: str | None, where: str) -> None:
    assert Queue(name, dead_letter_queue=letters).dead_letter_queue == where
    assert Worker(name, print, dead_letter_queue=letters).queue.dead_letter_queue == where


@pytest.mark.parametrize("queue", [Queue("emails", dead_letter_queue=""), Queue("emails-dlq")])
def test_a_queue_without_dead_letters_has_none_to_read(queue: Queue) -> None:
    with pytest.raises(InvalidOption, match=r"has no dead letters: name the queue that they came from"):
        DeadLetters(queue)
