"""A real Redis, and BullMQ's clients beside ours on it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from crewline import Queue
from redis.asyncio import Redis

from tests import redis_server
from tests.interop.peers import HERE, Peer

#: The two npm majors in use, and BullMQ's Python port.
NODE = ("bullmq5", "bullmq6")
ALL = (*NODE, "port")

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis_server.RedisServer]:
    with redis_server.start(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def start_peer(server: redis_server.RedisServer) -> Iterator[Callable[[str], Peer]]:
    """Starts each peer once a session."""
    assert shutil.which("node"), "no node on PATH: install Node 18 or newer (Debian: apt-get install nodejs npm)"
    missing = [name for name in NODE if not (HERE / "node_modules" / name / "package.json").is_file()]
    assert not missing, f"tests/interop/node_modules has no {' and no '.join(missing)}: run `make test-interop`"
    started: dict[str, Peer] = {}

    def start(flavour: str) -> Peer:
        if flavour not in started:
            started[flavour] = Peer(flavour, server.port)
        return started[flavour]

    yield start
    for peer in started.values():
        peer.stop()


@pytest.fixture
def url(server: redis_server.RedisServer) -> str:
    return server.url


@pytest.fixture
async def redis(url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(url, decode_responses=True) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A queue of the test's own."""
    return f"interop-{next(_numbers)}"


@pytest.fixture
async def queue(name: str, url: str) -> AsyncIterator[Queue]:
    """Our client on the test's queue."""
    async with Queue(name, redis=url) as ours:
        yield ours


async def _used(start_peer: Callable[[str], Peer], flavour: str) -> AsyncIterator[Peer]:
    peer = start_peer(flavour)
    yield peer
    await peer.close_all()


@pytest.fixture(params=NODE)
async def node(request: pytest.FixtureRequest, start_peer: Callable[[str], Peer]) -> AsyncIterator[Peer]:
    """npm bullmq, both majors."""
    async for peer in _used(start_peer, request.param):
        yield peer


@pytest.fixture(params=ALL)
async def peer(request: pytest.FixtureRequest, start_peer: Callable[[str], Peer]) -> AsyncIterator[Peer]:
    """Every BullMQ client we meet."""
    async for peer in _used(start_peer, request.param):
        yield peer


@pytest.fixture
async def node5(start_peer: Callable[[str], Peer]) -> AsyncIterator[Peer]:
    async for peer in _used(start_peer, "bullmq5"):
        yield peer


@pytest.fixture
async def node6(start_peer: Callable[[str], Peer]) -> AsyncIterator[Peer]:
    async for peer in _used(start_peer, "bullmq6"):
        yield peer


@pytest.fixture
async def port(start_peer: Callable[[str], Peer]) -> AsyncIterator[Peer]:
    async for peer in _used(start_peer, "port"):
        yield peer
