"""The store's time, from readings of a clock that is stepped and of one that is not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clock import SLEW, STEP_MS, ClockState, Sample, SteadyClock, SystemClocks
from tests.clock import START, SteppedHost

HOUR = 3600.0
STEPS = (-4 * HOUR, -HOUR, -1.0, 1.0, HOUR, 4 * HOUR)


class Kept:
    """A store's clock. A reading takes some milliseconds each way."""

    def __init__(self) -> None:
        self.state = ClockState()

    def read_by(self, clock: SteadyClock, *, there: int = 0, back: int = 0) -> None:
        """Have a process read the reference, as the stores do."""
        host = clock.host
        assert isinstance(host, SteppedHost)
        while True:
            began = host.elapsed()
            host.advance(there / 1000)
            state, reference = self.state, host.reference(None)
            host.advance(back / 1000)
            decided = clock.take(Sample(state, reference, began, host.elapsed()))
            if decided is None:
                return
            assert decided.epoch in (state.epoch, state.epoch + 1)
            self.state = decided
            if decided.epoch == state.epoch:
                return


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 30)),
        st.tuples(st.just("step"), st.sampled_from(STEPS)),
        st.tuples(st.just("read"), st.integers(0, 2)),
        st.tuples(st.just("restart"), st.integers(0, 2)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(ACTIONS, st.integers(0, 40), st.integers(0, 40))
def test_whatever_is_done_to_the_clock_the_time_goes_on(
    actions: list[tuple[str, float]], there: int, back: int
) -> None:
    """Three processes of one host agree, never go back, and go as fast as real time, less or more a tenth."""
    host, kept = SteppedHost(), Kept()
    clocks = [SteadyClock(host) for _ in range(3)]
    for clock in clocks:
        kept.read_by(clock, there=there, back=back)
    precision = STEP_MS + 2 * (there + back) + 100
    began, ran = clocks[0].now(), host.elapsed()
    last = [clock.now() for clock in clocks]
    steps = 0
    for action, value in actions:
        match action:
            case "pass":
                host.advance(value)
            case "step":
                host.step(value)
                steps += 1
            case "read":
                kept.read_by(clocks[int(value)], there=there, back=back)
            case _:
                clocks[int(value)] = SteadyClock(host)
                kept.read_by(clocks[int(value)], there=there, back=back)
                last[int(value)] = 0
        told = [clock.now() for clock in clocks]
        assert all(now >= before for now, before in zip(told, last, strict=True))
        last = told
        passed = host.elapsed() - ran
        for now in told:
            assert abs(now - began - passed) <= passed * SLEW + precision * (steps + 1)


def test_a_correction_that_wore_off_unseen_is_no_step() -> None:
    host, kept = SteppedHost(), Kept()
    busy, idle = SteadyClock(host), SteadyClock(host)
    kept.read_by(busy)
    kept.read_by(idle)
    host.step(-4 * HOUR)
    kept.read_by(busy)
    host.advance(60)
    kept.read_by(idle)
    assert kept.state.epoch == 1
    assert idle.now() == pytest.approx(busy.now(), abs=6_001)
    host.advance(60)
    kept.read_by(idle)
    kept.read_by(busy)
    assert kept.state.epoch == 1


@pytest.mark.parametrize("seconds", STEPS)
def test_the_first_to_read_corrects_and_the_others_follow(seconds: float) -> None:
    host, kept = SteppedHost(), Kept()
    first, second = SteadyClock(host), SteadyClock(host)
    for clock in (first, second):
        kept.read_by(clock)
    host.step(seconds)
    assert first.now() == second.now() == START
    kept.read_by(first)
    kept.read_by(second)
    assert kept.state.epoch == 1
    assert kept.state.correction == round(-seconds * 1000)
    assert first.now() == second.now() == pytest.approx(START, abs=2)


@pytest.mark.parametrize("seconds", [-HOUR, HOUR])
def test_a_correction_wears_off_and_dates_of_the_real_world_are_met(seconds: float) -> None:
    host, kept = SteppedHost(), Kept()
    clock = SteadyClock(host)
    kept.read_by(clock)
    host.step(seconds)
    kept.read_by(clock)
    for hours in (1, 5, 9, 20):
        date = host.wall + hours * 3_600_000
        told = clock.at(date)
        later = SteppedHost()
        later.running, later.wall = host.running + hours * 3_600_000, date
        reader = SteadyClock(later)
        assert kept.state.correction_at(date) == pytest.approx(told - date, abs=1)
        kept.read_by(reader)
        assert reader.now() == pytest.approx(told, abs=5)
    host.advance(20 * HOUR)
    assert clock.now() == pytest.approx(host.wall, abs=2)


def test_a_step_too_small_to_matter_is_followed_without_going_back() -> None:
    host, kept = SteppedHost(), Kept()
    clock = SteadyClock(host)
    kept.read_by(clock)
    before = clock.now()
    host.step(-0.2)
    kept.read_by(clock)
    assert kept.state.epoch == 0
    assert clock.now() == before
    host.advance(1)
    assert clock.now() == host.wall


def test_a_slow_answer_proves_no_step() -> None:
    host, kept = SteppedHost(), Kept()
    clock = SteadyClock(host)
    kept.read_by(clock)
    for there, back in ((4_000, 0), (0, 4_000), (2_000, 2_000)):
        kept.read_by(clock, there=there, back=back)
        assert kept.state.epoch == 0
        assert clock.now() == pytest.approx(host.wall, abs=2)


def test_a_process_that_stood_still_with_its_host_follows_the_others() -> None:
    """Its clock did not count the time, so the reference looks stepped; the others saw all of that time."""
    kept, host, frozen = Kept(), SteppedHost("a"), SteppedHost("b")
    clock, asleep = SteadyClock(host), SteadyClock(frozen)
    kept.read_by(clock)
    kept.read_by(asleep)
    for _ in range(60):
        host.advance(60)
        kept.read_by(clock)
    frozen.wall = host.wall
    kept.read_by(asleep)
    assert kept.state.epoch == 0
    assert asleep.now() == pytest.approx(clock.now(), abs=2)


def test_a_process_that_begins_just_after_a_step_misleads_nobody() -> None:
    kept, host, fresh = Kept(), SteppedHost("a"), SteppedHost("b")
    clock, newcomer = SteadyClock(host), SteadyClock(fresh)
    kept.read_by(clock)
    host.step(HOUR)
    fresh.wall = host.wall
    kept.read_by(newcomer)
    kept.read_by(clock)
    assert kept.state.epoch == 1
    assert clock.now() == pytest.approx(START, abs=2)


def test_a_host_without_a_name_is_no_evidence_for_the_next_start() -> None:
    kept, host = Kept(), SteppedHost("")
    kept.read_by(SteadyClock(host))
    host.advance(HOUR)
    host.running = 0
    again = SteadyClock(host)
    kept.read_by(again)
    assert (kept.state.epoch, again.now()) == (0, host.wall)


def test_what_another_process_dated_a_moment_later_is_not_undercut() -> None:
    host, kept = SteppedHost(), Kept()
    clock = SteadyClock(host)
    kept.read_by(clock)
    clock.witness(START + 3)
    assert clock.now() == START + 3
    clock.witness(START + 3_600_000)
    assert clock.now() == START + 3
    host.advance(1)
    assert clock.now() == START + 1_000


def test_the_hosts_own_clock_goes_on() -> None:
    host = SystemClocks()
    assert host.elapsed() <= host.elapsed()
    assert host.reference(5) == 5
    assert host.boot == SystemClocks().boot
