"""No call outlives the lease: one that is under way is cut off when it is over, and has longer when it is renewed."""

from __future__ import annotations

import asyncio

import pytest
from crewline_operator.kube.fence import Fence, NotLeading, elapsed


async def write(fence: Fence, seconds: float = 60) -> str:
    """A call that gets no answer: how it ends."""
    try:
        async with fence.within(seconds):
            await asyncio.Event().wait()
    except (NotLeading, TimeoutError) as error:
        return type(error).__name__
    return ""


async def begun(fence: Fence) -> asyncio.Task[str]:
    writing = asyncio.create_task(write(fence))
    await asyncio.sleep(0)
    return writing


async def test_it_is_closed_at_first_and_open_as_long_as_the_lease() -> None:
    now = 100.0
    fence = Fence(lambda: now)
    assert not fence.is_open
    fence.extend(106)
    assert fence.is_open
    fence.check()
    now = 106.0
    assert not fence.is_open
    with pytest.raises(NotLeading):
        fence.check()


async def test_nothing_is_begun_where_it_is_closed() -> None:
    assert await write(Fence()) == "NotLeading"


async def test_a_call_is_cut_off_when_the_lease_is_over_and_not_later() -> None:
    fence = Fence()
    fence.extend(elapsed() + 0.05)
    assert await asyncio.wait_for(write(fence), 5) == "TimeoutError"
    assert not fence.is_open


async def test_a_call_has_its_own_time_too() -> None:
    fence = Fence.always_open()
    assert await asyncio.wait_for(write(fence, 0.01), 5) == "TimeoutError"
    assert fence.is_open


async def test_a_call_goes_on_when_the_lease_is_renewed_and_ends_when_it_is_lost() -> None:
    fence = Fence()
    fence.extend(elapsed() + 0.05)
    writing = await begun(fence)
    fence.extend(elapsed() + 60)
    done, _ = await asyncio.wait({writing}, timeout=0.2)
    assert not done
    fence.close()
    assert await asyncio.wait_for(writing, 5) == "TimeoutError"


async def test_who_was_stopped_past_its_lease_does_not_send_what_it_was_about_to_send() -> None:
    # What it waited for has come, and its time is over, both while it was stopped: its next step is not made.
    loop, fence = asyncio.get_running_loop(), Fence()
    fence.extend(elapsed() + 0.05)
    ready, sent = loop.create_future(), []

    async def send() -> None:
        async with fence.within(60):
            await ready
            sent.append("a write")

    sending = asyncio.create_task(send())
    await asyncio.sleep(0)
    loop.call_soon(ready.set_result, None)
    ends = elapsed() + 0.1
    while elapsed() < ends:
        # The loop stands still, as that of a process that was stopped.
        pass
    with pytest.raises(TimeoutError):
        await sending
    assert sent == []
