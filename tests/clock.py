"""The clock that tests move."""

START = 1_700_000_000_000


class ManualClock:
    """Time that passes when a test says so. Meets `app.clock.Clock`."""

    def __init__(self) -> None:
        self.milliseconds = START

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.milliseconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.milliseconds += round(seconds * 1000)
