"""Nothing in the operator fetches of Redis what has no bound: whoever writes such a call meets this test first."""

from __future__ import annotations

import ast
from pathlib import Path

import crewline_operator
import pytest
from crewline_operator.redis.bounded import FETCH_MAX_BYTES, _batches, shown_size

ROOT = Path(crewline_operator.__file__).parent
#: Where values are fetched: by their lengths.
FETCHES = "redis/bounded.py"
#: What gives a value, or all of them, however large; and ways to a Redis that bound no answer.
UNBOUNDED = {
    "hget", "hmget", "hgetall", "hvals", "hkeys", "mget", "smembers", "getdel", "getex", "sort", "xrange", "zscan_iter",
    "hscan_iter", "scan_iter", "sscan_iter",
}  # fmt: skip
#: Calls of the engine that read as much as there is.
ENGINE = {"workers", "drains", "get_job", "dead_letters"}
CLIENTS = {"connect", "from_url", "Redis", "open_client", "connect_blocking"}


def calls() -> list[tuple[str, str, bool]]:
    """Each call in the operator: its file, what is called, and whether by a name alone."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                found.append((str(path.relative_to(ROOT)), node.func.attr, False))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found.append((str(path.relative_to(ROOT)), node.func.id, True))
            elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                # a question: its command comes first
                found.append((str(path.relative_to(ROOT)), str(node.elts[0].value), False))
    return found


def test_values_are_fetched_in_one_place_by_their_lengths() -> None:
    fetching = {(file, called) for file, called, _ in calls() if called in UNBOUNDED}
    assert fetching == {(FETCHES, "hmget")}


def test_no_call_of_the_engine_reads_all_that_there_is() -> None:
    assert [(file, called) for file, called, by_name in calls() if called in ENGINE and not by_name] == []


def test_a_string_is_never_asked_for_as_a_whole() -> None:
    """`get` is a dict's, too: those of a pipeline or a client."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
                owner = ast.unparse(node.func.value)
                is_redis = owner == "redis" and path.parent.name == "redis"
                if is_redis or owner == "pipe" or owner.endswith((".redis", "._redis")):
                    found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
            if isinstance(node, ast.Tuple) and node.elts and ast.unparse(node.elts[0]) == "'get'":
                found.append(f"{path.relative_to(ROOT)}: {ast.unparse(node)}")
    assert found == []


def test_every_client_bounds_its_answers() -> None:
    opening = {(file, called) for file, called, by_name in calls() if called in CLIENTS and by_name}
    assert opening == {("redis/answers.py", "connect"), ("main.py", "connect")}, "main.py's is the API server's"


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (26_214_400, "25 MiB"), (2**40, "1024 GiB")],
)
def test_a_size_is_shown_as_people_read_it(size: int, shown: str) -> None:
    assert shown_size(size) == shown


def test_what_is_fetched_at_once_is_bounded_and_nothing_is_left_out() -> None:
    sizes = [0, FETCH_MAX_BYTES, 1, 0, FETCH_MAX_BYTES // 2, FETCH_MAX_BYTES // 2, 1]
    batches = list(_batches(sizes))
    assert [index for batch in batches for index in batch] == [index for index, size in enumerate(sizes) if size]
    assert all(sum(sizes[index] for index in batch) <= FETCH_MAX_BYTES for batch in batches)
