"""Which queues are waited for by their events: whatever the order of reads, events and faults, no wake is lost."""

from __future__ import annotations

from crewline_operator.model.key import Key
from crewline_operator.redis.watched import BEGINNING, HOLD_CAP_SECONDS, REFUSED_SECONDS, Watched
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

KEYS = [Key("JobQueue", "shop", name) for name in ("emails", "reports", "letters")]
QUEUES = st.sampled_from(KEYS)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sleeper(*positions: str) -> tuple[Watched, Clock]:
    """Queues that sleep and were read, each with its stream's last event."""
    clock = Clock()
    watched = Watched(clock)
    watched.stands()
    for key, position in zip(KEYS, positions, strict=False):
        watched.sleep(key, key.name)
        watched.was_read(key, position)
    return watched, clock


def test_a_queue_is_waited_for_once_it_was_read_and_from_there() -> None:
    watched, _ = sleeper()
    watched.sleep(KEYS[0], "emails")
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({}, False)
    watched.was_read(KEYS[0], "5-0")
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({"emails": "5-0"}, True)
    watched.rouse(KEYS[0])
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({}, False)


def test_a_queue_that_two_are_for_is_waited_for_from_the_earlier_read() -> None:
    watched, _ = sleeper()
    for key, position in zip(KEYS, ("10-0", "9-12", BEGINNING), strict=True):
        watched.sleep(key, "emails")
        watched.was_read(key, position)
    assert watched.streams() == {"emails": BEGINNING}
    watched.rouse(KEYS[2])
    assert watched.streams() == {"emails": "9-12"}
    assert watched.woke({"emails"}) == KEYS[:2]


def test_a_queue_whose_events_can_not_be_read_is_polled_while_others_are_waited_for() -> None:
    watched, clock = sleeper("1-0", "1-0")
    assert watched.refuse({"emails"}) == [KEYS[0]]
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({"reports": "1-0"}, False)
    clock.now += REFUSED_SECONDS
    assert watched.waits_for(KEYS[0]), "it may be readable by now"
    watched.was_read(KEYS[0], None)
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({"reports": "1-0"}, False)


def test_nobody_is_waited_for_until_a_read_has_worked_again() -> None:
    watched, _ = sleeper("1-0", "1-0")
    assert watched.lost() == KEYS[:2]
    assert watched.streams() == {}, "Redis may have lost what it had: where to wait from is read anew"
    watched.was_read(KEYS[0], "1-0")
    assert (watched.streams(), watched.waits_for(KEYS[0])) == ({"emails": "1-0"}, False)
    watched.stands()
    assert watched.waits_for(KEYS[0])


def test_a_flood_of_events_wakes_a_queue_that_stays_asleep_no_more_often_than_polling_would() -> None:
    watched, clock = sleeper("1-0")
    began, wakes = clock.now, 0
    while clock.now < began + 60:
        if watched.streams():
            wakes += len(watched.woke({"emails"}))
            watched.was_read(KEYS[0], "2-0")
        clock.now += 0.001
    assert wakes <= 60 / HOLD_CAP_SECONDS + 6
    clock.now += 60
    assert watched.woke({"emails"}) == KEYS[:1]
    watched.was_read(KEYS[0], "3-0")
    assert watched.next_change_seconds() is not None
    assert watched.next_change_seconds() < 0.1, "after a quiet time the next one is waited for soon"  # type: ignore[operator]


class Wakes(RuleBasedStateMachine):
    """Redis, the poller and the blocked read, each step of them apart.

    A read tells of a queue: it takes the last event's number first, then what the queue holds. The poller reads what
    was asked for, and what is not waited for; the blocked read ends when something comes after where it began.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.watched = Watched(self.clock)
        self.watched.stands()
        #: Of each queue: the number of its events, and of those that were told of.
        self.events = dict.fromkeys(KEYS, 0)
        self.told = dict.fromkeys(KEYS, 0)
        self.asleep: set[Key] = set()
        #: What the poller reads next, and what it reads in its turn.
        self.asked: set[Key] = set()
        self.planned: set[Key] = set()
        #: A read under way: of each queue where it ended when the read began, and what was then seen in it.
        self.began: dict[Key, int] = {}
        self.saw: dict[Key, int] | None = None
        self.block: dict[str, str] | None = None

    @rule(key=QUEUES)
    def add(self, key: Key) -> None:
        self.events[key] += 1

    @rule(seconds=st.sampled_from([0.01, 0.06, 0.5, 2.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(key=QUEUES)
    def fall_asleep(self, key: Key) -> None:
        if key not in self.asleep:
            self.asleep.add(key)
            self.watched.sleep(key, key.name)
            self.asked.add(key)

    @rule(key=QUEUES)
    def get_workers(self, key: Key) -> None:
        self.asleep.discard(key)
        self.watched.rouse(key)
        self.planned.add(key)

    @precondition(lambda self: not self.began and (self.asked or self.planned))
    @rule()
    def begin_read(self) -> None:
        keys = self.asked | self.planned
        self.asked, self.planned = set(), set()
        self.began = {key: self.events[key] if key in self.asleep else -1 for key in keys}

    @precondition(lambda self: self.began and self.saw is None)
    @rule()
    def look(self) -> None:
        self.saw = {key: self.events[key] for key in self.began}

    @precondition(lambda self: self.saw is not None)
    @rule(fails=st.booleans())
    def end_read(self, fails: bool) -> None:
        assert self.saw is not None
        for key, saw in self.saw.items():
            if not fails:
                self.told[key] = saw
                self.watched.was_read(key, f"{self.began[key]}-0" if self.began[key] >= 0 else None)
            if fails or not self.watched.waits_for(key):
                self.planned.add(key)
        self.began, self.saw = {}, None

    @precondition(lambda self: not self.began and (self.asked or self.planned))
    @rule()
    def read(self) -> None:
        """All of it, with nothing in between."""
        self.begin_read()
        self.look()
        self.end_read(False)

    @precondition(lambda self: self.block is None)
    @rule()
    def begin_block(self) -> None:
        self.block = self.watched.streams() or None

    @precondition(lambda self: self.block is not None)
    @rule()
    def end_block(self) -> None:
        assert self.block is not None
        self.watched.stands()
        streams = {name for name, after in self.block.items() if self._last(name) > int(after.partition("-")[0])}
        self.asked |= set(self.watched.woke(streams))
        self.block = None

    @precondition(lambda self: self.block is not None)
    @rule()
    def lose(self) -> None:
        self.planned |= set(self.watched.lost())
        self.block = None

    @precondition(lambda self: self.block is not None)
    @rule(data=st.data())
    def refuse(self, data: st.DataObject) -> None:
        assert self.block is not None
        refused = data.draw(st.sets(st.sampled_from(sorted(self.block)), min_size=1))
        self.planned |= set(self.watched.refuse(refused))
        self.block = None

    def _last(self, stream: str) -> int:
        return next(number for key, number in self.events.items() if key.name == stream)

    @invariant()
    def what_was_added_will_be_seen(self) -> None:
        for key in self.asleep:
            if self.events[key] == self.told[key] or key in self.asked | self.planned:
                continue
            if key in self.began and (self.saw is None or self.saw[key] == self.events[key]):
                continue
            # A read that has looked already tells from where to wait; until it ends the one before counts.
            after = self.began.get(key, -1)
            if after < 0:
                assert self.watched.waits_for(key), f"{key}: nobody reads it, and no event wakes it"
                after = int(self.watched.streams()[key.name].partition("-")[0])
            assert after < self.events[key], f"{key}: waited for from an event that nobody was told of"

    def teardown(self) -> None:
        self.began, self.saw, self.block = {}, None, None
        self.asked |= set(KEYS)
        for _ in range(3):
            self.begin_read()
            self.look()
            self.end_read(False)
            self.clock.now += 31
            self.begin_block()
            if self.block is not None:
                self.end_block()
            if not self.asked | self.planned:
                break
        assert all(self.told[key] == self.events[key] for key in self.asleep)
        assert all(self.watched.waits_for(key) for key in self.asleep), "and all sleep by their events in the end"


Wakes.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
TestNoWakeIsLost = Wakes.TestCase
