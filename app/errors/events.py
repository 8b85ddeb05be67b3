"""Errors of logs of events."""

from . import StoreUnavailable


class EventsLost(StoreUnavailable):
    """A log ends before an event that a reader has named, or that was read a moment ago.

    A crash of the database may take the newest events. `newest` is the newest one that is left.
    """

    public = "The database lost the newest events of this message in a crash. Send the request again."

    def __init__(self, newest: int) -> None:
        super().__init__(f"{self.public} The newest is {newest}.")
        self.newest = newest
