"""Keeps the store's time, which dates everything stored. See docs/adr/0031-the-store-has-its-own-time.md.

The store's time never jumps and never runs backwards. It is the time of a reference clock plus a stored correction. The
reference is the database server's clock; for SQLite it is this host's. If the reference is stepped, the first process
to notice changes the correction by the same amount. All stored times keep their meaning. Between two readings of the
reference, a process measures time with a clock of its host that is never stepped.
"""

import logging
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from typing_extensions import override

logger = logging.getLogger(__name__)

STEP_MS = 250
"""Minimum difference that counts as a step. Smaller ones are noise, or slow adjustments by a time service."""

DRIFT = 0.001
"""How far two clocks may drift apart, as a fraction of the elapsed time."""

SLEW = 0.1
"""How fast a correction decreases, as a fraction of the elapsed time."""

NOTE_MS = 5_000
"""Interval at which processes note the time in the store, for processes that start later."""

SKEW_MS = 1_000
"""How far the time of another process may be ahead without being an error."""

_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """A clock that shows the store's time."""

    def now(self) -> int:
        """Return the store's time in milliseconds since the epoch, UTC; never lower than before."""

    def at(self, date: int) -> int:
        """Return the store's time at `date`, a time of the real world. Both are milliseconds since the epoch, UTC."""

    def witness(self, moment: int) -> None:
        """Never return a time before `moment` again: another process has dated something with `moment`."""


@lru_cache(maxsize=1024)
def to_datetime(milliseconds: int) -> datetime:
    """Return the aware UTC datetime of a stored time in milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def to_milliseconds(moment: datetime) -> int:
    """Return an aware datetime as it is stored: milliseconds since the epoch, UTC."""
    return round(moment.timestamp() * 1000)


class HostClocks(Protocol):
    """The clocks that a process can read."""

    @property
    def boot(self) -> str:
        """Return an id of the host's start, from which `elapsed` counts; an empty text if there is none."""

    def elapsed(self) -> int:
        """Return milliseconds of a clock that is never stepped and continues while the host is suspended."""

    def reference(self, read: int | None) -> int:
        """Return the time of the reference, a clock that all processes can read, in milliseconds since the epoch.

        `read` is the time that was read from the database server. If it is None, the database has no clock, and the
        reference is this host's clock.
        """


class SystemClocks(HostClocks):
    """The clocks of this host."""

    def __init__(self) -> None:
        try:
            self._boot = BOOT_ID.read_text("ascii").strip()
        except (OSError, ValueError):
            self._boot = ""

    @override
    @property
    def boot(self) -> str:
        return self._boot

    @override
    def elapsed(self) -> int:
        return time.clock_gettime_ns(_ELAPSED) // 1_000_000

    @override
    def reference(self, read: int | None) -> int:
        return time.time_ns() // 1_000_000 if read is None else read


class ClockState(NamedTuple):
    """The state of the store's time, as it is stored. All times are milliseconds."""

    epoch: int = 0
    """Number of corrected steps. Each change of the state names the epoch on which it is based."""

    correction: int = 0
    """Store time minus reference at `since`. It decreases from then on."""

    since: int = 0
    """The reference's time of the last correction."""

    seen: int = 0
    """A recent store time. Later store times are never lower."""

    boot: str = ""
    """The host that noted `ahead`; see `HostClocks.boot`."""

    ahead: int = 0
    """Reference minus `HostClocks.elapsed` of that host."""

    noted: int = 0
    """`HostClocks.elapsed` of that host when it noted `ahead`."""

    def correction_at(self, reference: float) -> float:
        """Return the correction that applies when the reference shows this time."""
        if self.correction == 0:
            return 0.0
        left = max(0.0, abs(self.correction) - max(0.0, reference - self.since) * SLEW)
        return left if self.correction > 0 else -left


class Sample(NamedTuple):
    """A reading of the stored state and of the reference.

    `began` and `ended` are the values of `HostClocks.elapsed` before and after the reading.
    """

    state: ClockState
    reference: int
    began: int
    ended: int


class _View(NamedTuple):
    """A view of the store's time in this process.

    `ahead` plus `HostClocks.elapsed` is the time of the reference. `taken` is `HostClocks.elapsed` at the last reading.
    """

    state: ClockState
    ahead: float
    taken: int

    def store_time(self, elapsed: int) -> float:
        reference = elapsed + self.ahead
        return reference + self.state.correction_at(reference)


class SteadyClock(Clock):
    """The store's time, computed from readings of a reference that may be stepped. Safe to use from any thread.

    Before the first reading, it returns this host's wall clock.
    """

    def __init__(self, host: HostClocks | None = None) -> None:
        self.host = host or SystemClocks()
        self._lock = threading.Lock()
        self._view: _View | None = None
        self._last = 0
        self._read_at = -1
        """`HostClocks.elapsed` when `_last` was read. A batch reads the time many times in a millisecond."""

    @override
    def now(self) -> int:
        elapsed = self.host.elapsed()
        if elapsed == self._read_at:
            return self._last
        with self._lock:
            if self._view is None:
                return self.host.reference(None)
            self._last = max(self._last, round(self._view.store_time(elapsed)))
            self._read_at = elapsed
            return self._last

    @override
    def at(self, date: int) -> int:
        view = self._view
        return date if view is None else date + round(view.state.correction_at(date))

    @override
    def witness(self, moment: int) -> None:
        if moment - self.now() < SKEW_MS:  # a larger lead is an error, not imprecision
            with self._lock:
                self._last = max(self._last, moment)

    def take(self, sample: Sample) -> ClockState | None:
        """Correct this clock by a reading. Return the state to store; None if the stored state is still right.

        The caller stores the returned state only if the stored epoch is unchanged, and then takes another reading.
        """
        with self._lock:
            self._read_at = -1
            known = self._view or self._resumed(sample.state)
            return self._begin(sample) if known is None else self._go_on(known, sample)

    def _resumed(self, state: ClockState) -> _View | None:
        """Return the view that an earlier process noted since the host's start; None if there is none."""
        if not state.boot or state.boot != self.host.boot:
            return None
        return _View(state, state.ahead, state.noted)

    def _begin(self, sample: Sample) -> ClockState | None:
        """Use the first reading of the reference. Return the state to store; None if there is nothing to store.

        If the store has seen a later time, return a corrected state and leave this clock as it is.
        """
        state, middle = sample.state, (sample.began + sample.ended) / 2
        store_time = sample.reference + state.correction_at(sample.reference)
        if store_time < state.seen - STEP_MS:
            return self._corrected(sample, state.seen, sample.reference)
        self._view = _View(state, sample.reference - middle, sample.ended)
        return self._introduced(sample, self._view)

    def _go_on(self, known: _View, sample: Sample) -> ClockState | None:
        """Compare a reading with the host's own clock. Return the state to store; None if there is nothing to store.

        After a step of the reference, return a corrected state and leave this clock as it is.
        """
        state, elapsed = sample.state, sample.ended
        first = self._view is None
        expected = known.store_time(elapsed)
        lowest, highest = sample.reference - sample.ended, sample.reference - sample.began
        # With this value of `ahead`, the stored state continues the time of this process.
        wanted = expected - elapsed - state.correction_at(elapsed + (lowest + highest) / 2)
        nearest = min(max(wanted, lowest), highest)
        gap = nearest - wanted
        # A correction unknown to this process may have decreased since its last reading.
        rate = DRIFT if state.epoch == known.state.epoch else DRIFT + SLEW
        if abs(gap) > STEP_MS + rate * (elapsed - known.taken):
            # Other processes noted the time while this process, and perhaps its host, was suspended.
            stood_still = gap > 0 and expected + STEP_MS < state.seen and expected + gap - state.seen < 2 * NOTE_MS
            if not stood_still:
                return self._corrected(sample, max(expected, state.seen), elapsed + nearest)
        first = self._view is None
        self._view = _View(state, wanted if abs(gap) <= 2 else nearest, elapsed)
        return self._introduced(sample, self._view) if first else self._note(sample, self._view)

    def _introduced(self, sample: Sample, view: _View) -> ClockState | None:
        """Return the state with this host's clock noted; None if it is noted already.

        Leave `seen` as it is: this first reading may come just after a step of the host's clock.
        """
        if sample.state.boot == self.host.boot:
            return None
        return sample.state._replace(boot=self.host.boot, ahead=round(view.ahead), noted=sample.ended)

    def _note(self, sample: Sample, view: _View) -> ClockState | None:
        """Return the state with the present time for processes that start later; None if the stored note is recent."""
        seen = round(view.store_time(sample.ended))
        if seen < sample.state.seen + NOTE_MS:
            return None
        return sample.state._replace(seen=seen, boot=self.host.boot, ahead=round(view.ahead), noted=sample.ended)

    def _corrected(self, sample: Sample, wanted: float, reference: float) -> ClockState:
        """Return the state whose correction makes the store's time `wanted` now. Log the step."""
        correction, state = round(wanted - reference), sample.state
        stepped = reference + state.correction_at(reference) - wanted
        logger.warning("The clock was stepped: seconds=%.3f, correction=%.3f", stepped / 1000, correction / 1000)
        return ClockState(
            epoch=state.epoch + 1,
            correction=correction,
            since=round(reference),
            seen=max(state.seen, round(wanted)),
            boot=self.host.boot,
            ahead=round(reference) - sample.ended,
            noted=sample.ended,
        )
