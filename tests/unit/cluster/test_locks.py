"""Several processes want one thing: one makes it, the last one takes it away."""

import threading
from pathlib import Path

from tests.cluster.lock import locked, shared


def test_a_second_builder_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with locked(tmp_path / "lock", "it"):
            order.append("second")

    with locked(tmp_path / "lock", "it"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_only_the_last_of_several_users_is_alone(tmp_path: Path) -> None:
    with shared(tmp_path / "users") as last:
        with shared(tmp_path / "users") as other:
            assert not last()
            assert not other()
        assert last()
