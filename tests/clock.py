"""The clock that tests move."""

START = 1_700_000_000_000


class ManualClock:
    """Time that passes when a test says so. Meets `app.clock.Clock`."""

    def __init__(self) -> None:
        self.milliseconds = START

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.milliseconds

    def at(self, date: int) -> int:
        """The same time: this clock is never stepped."""
        return date

    def witness(self, moment: int) -> None:
        """Nothing to do: all stores of a test have the same clock."""

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.milliseconds += round(seconds * 1000)


class TickingClock(ManualClock):
    """A clock that is a millisecond on whenever it is asked."""

    def __init__(self, milliseconds: int) -> None:
        super().__init__()
        self.milliseconds = milliseconds

    def now(self) -> int:
        """Milliseconds since the epoch, one more at each call."""
        self.milliseconds += 1
        return self.milliseconds


class SteppedHost:
    """A host whose wall clock, or that of its database server, is stepped when a test says so."""

    def __init__(self, boot: str = "boot") -> None:
        self.boot = boot
        self.running = 5_000_000
        self.wall = START

    def elapsed(self) -> int:
        """Milliseconds that have really passed."""
        return self.running

    def reference(self, read: int | None) -> int:
        """Milliseconds since the epoch, as the clock shows them after its steps."""
        return self.wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.running += round(seconds * 1000)
        self.wall += round(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Set the clock, forward or back, while no time passes."""
        self.wall += round(seconds * 1000)
