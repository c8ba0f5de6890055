"""However clocks drift, calls are late or lost, and processes stop, die and start anew: no two may act at once.

Each process does what loop/leading.py does, in a time that passes when hypothesis says so, beside an API server that
has one Lease. Hypothesis says what happens to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from crewline_operator.kube.election import Candidacy, Record, Timing
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

TIMING = Timing(lease_seconds=8, renew_deadline_seconds=6, renew_seconds=2)
PODS = 3
TICK_SECONDS = 0.1
#: Of a process' clock against the true time. 8 s on the fastest are longer than 6 s on the slowest.
RATES = st.floats(0.9, 1.15)
pods = st.integers(0, PODS - 1)


class ApiServer:
    """Has one Lease, and refuses what is written for another version of it."""

    def __init__(self) -> None:
        self.lease = Record()
        self._version = 0

    def write(self, record: Record) -> Record | None:
        if record.version != self.lease.version:
            return None
        self._version += 1
        self.lease = replace(record, version=str(self._version))
        return self.lease


@dataclass
class Call:
    """A read or a write, on its way there or back."""

    #: What to write; None to read.
    record: Record | None
    #: By the caller's clock.
    began: float
    arrives: float
    #: By the true time; None as long as there is none.
    answered: float | None = None
    answer: Record | None = None


@dataclass
class Process:
    pod: int
    number: int
    offset: float
    rate: float
    call: Call | None = None
    #: When to do something next, by its own clock.
    next_at: float = -1e9
    has_failed: bool = False
    has_led: bool = False

    def __post_init__(self) -> None:
        own = f"{self.pod}/"
        identity = self.identity = f"{own}{self.number}"
        self.candidacy = Candidacy(identity, TIMING, lambda holder: holder.startswith(own) and holder != identity)

    def clock(self, now: float) -> float:
        return self.offset + self.rate * now

    def acts(self, now: float) -> bool:
        return self.candidacy.may_act(self.clock(now))

    def step(self, now: float) -> Record | str | None:
        """What it does next: a record to write, "read", or nothing."""
        clock, call = self.clock(now), self.call
        if call is not None:
            if call.answered is not None and call.answered <= now:
                # A process that was stopped finds the answer before it finds that it has come late.
                self.call = None
                return self.take(call, clock)
            if clock - call.began < TIMING.call_seconds:
                return None
            self.call = None
            self.failed(clock)
        if clock < self.next_at:
            return None
        return self.candidacy.claim(str(now)) if self.has_led and not self.has_failed else "read"

    def take(self, call: Call, clock: float) -> Record | None:
        if call.answer is None:
            self.failed(clock)
        elif call.record is not None:
            self.candidacy.wrote(call.answer, call.began, clock)
            self.has_led |= self.candidacy.may_act(clock)
            self.has_failed = False
            self.next_at = clock + TIMING.renew_seconds
        else:
            self.candidacy.saw(call.answer, clock)
            if (self.has_led and not self.candidacy.is_taken) or self.candidacy.takes_in_seconds(clock) == 0:
                return self.candidacy.claim(str(clock))
            self.next_at = clock + TIMING.look_seconds
        return None

    def failed(self, clock: float) -> None:
        self.has_failed = True
        self.next_at = clock + TIMING.look_seconds


@dataclass
class Network:
    """Between one pod and the API server."""

    there_seconds: float = 0.0
    back_seconds: float = 0.0
    loses_calls: bool = False
    loses_answers: bool = False


@dataclass
class World:
    api: ApiServer = field(default_factory=ApiServer)
    now: float = 0.0
    started: int = 0
    processes: dict[int, Process] = field(default_factory=dict)
    networks: list[Network] = field(default_factory=lambda: [Network() for _ in range(PODS)])
    stopped: set[int] = field(default_factory=set)
    #: On their way to the API server, those of processes that have ended among them.
    on_their_way: list[tuple[Call, Network]] = field(default_factory=list)
    leaders: list[str] = field(default_factory=list)

    def start(self, pod: int, offset: float, rate: float) -> None:
        self.started += 1
        self.processes[pod] = Process(pod, self.started, offset, rate)
        self.stopped.discard(pod)

    def send(self, process: Process, record: Record | None) -> None:
        network = self.networks[process.pod]
        process.call = Call(record, process.clock(self.now), self.now + network.there_seconds)
        if not network.loses_calls:
            self.on_their_way.append((process.call, network))

    def tick(self) -> None:
        self.now += TICK_SECONDS
        for call, network in [each for each in self.on_their_way if each[0].arrives <= self.now]:
            self.on_their_way.remove((call, network))
            call.answer = self.api.lease if call.record is None else self.api.write(call.record)
            if not network.loses_answers:
                call.answered = self.now + network.back_seconds
        for pod, process in list(self.processes.items()):
            if pod in self.stopped:
                continue
            wants = process.step(self.now)
            if process.has_led and (process.candidacy.is_taken or not process.acts(self.now)):
                # It has lost the lease: the process ends, and the kubelet starts another one.
                self.start(pod, process.offset, process.rate)
            elif wants is not None:
                self.send(process, wants if isinstance(wants, Record) else None)
        self.check()

    def check(self) -> None:
        """Also those that are stopped: they would act as soon as they go on, before they look at anything."""
        leaders = [process.identity for process in self.processes.values() if process.acts(self.now)]
        assert len(leaders) <= 1, f"{leaders} may act at {self.now:.1f}"
        self.leaders += [leader for leader in leaders if self.leaders[-1:] != [leader]]


class Elections(RuleBasedStateMachine):
    """What happens to three processes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize(rates=st.lists(RATES, min_size=PODS, max_size=PODS))
    def all_start(self, rates: list[float]) -> None:
        for pod, rate in enumerate(rates):
            self.world.start(pod, 1000.0 * pod * (-1) ** pod, rate)

    @rule(ticks=st.sampled_from([1, 2, 3, 5, 10, 20, 40, 70, 90, 150]))
    def time_passes(self, ticks: int) -> None:
        for _ in range(ticks):
            self.world.tick()

    @rule(pod=pods, ticks=st.sampled_from([30, 55, 65, 75, 85, 100]))
    def one_is_stopped_for_a_while(self, pod: int, ticks: int) -> None:
        self.world.stopped.add(pod)
        self.time_passes(ticks)
        self.world.stopped.discard(pod)
        self.time_passes(30)

    @rule(pod=pods)
    def one_is_killed_and_another_starts_in_its_pod(self, pod: int) -> None:
        process = self.world.processes[pod]
        self.world.start(pod, process.offset, process.rate)

    @rule(pod=pods)
    def one_releases_and_ends(self, pod: int) -> None:
        process = self.world.processes[pod]
        if process.acts(self.world.now):
            self.world.send(process, process.candidacy.release(str(self.world.now)))
        self.world.start(pod, process.offset, process.rate)

    @rule(pod=pods, there=st.sampled_from([0, 0.3, 1.5, 4]), back=st.sampled_from([0, 0.3, 1.5, 2.8]))
    def calls_of_one_are_slow(self, pod: int, there: float, back: float) -> None:
        self.world.networks[pod].there_seconds, self.world.networks[pod].back_seconds = there, back

    @rule(pod=pods, calls=st.booleans(), answers=st.booleans(), ticks=st.sampled_from([10, 45, 70, 100]))
    def calls_of_one_are_lost_for_a_while(self, pod: int, calls: bool, answers: bool, ticks: int) -> None:
        network = self.world.networks[pod]
        network.loses_calls, network.loses_answers = calls, answers
        self.time_passes(ticks)
        network.loses_calls = network.loses_answers = False

    @invariant()
    def no_two_may_act(self) -> None:
        self.world.check()


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_somebody_leads_soon_and_stays_and_another_follows_within_the_lease_and_a_look() -> None:
    world = World()
    for pod in range(PODS):
        world.start(pod, 0.0, 1.0)
    for _ in range(300):
        world.tick()
    assert len(world.leaders) == 1, "nobody else led in 30 s"
    (leader,) = [pod for pod, process in world.processes.items() if process.acts(world.now)]
    world.stopped.add(leader)
    killed_at = world.now
    while len(world.leaders) == 1:
        world.tick()
    assert world.now - killed_at <= TIMING.lease_seconds + 2 * TIMING.look_seconds
