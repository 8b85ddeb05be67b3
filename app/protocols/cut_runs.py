"""Errors for readers of a run that shows nothing more before its end."""

from ..errors import MessageNotFound, NotFound
from ..errors.threads import Gone


class RunDeleted(NotFound):
    """The message was deleted while somebody read its run."""

    code = MessageNotFound.code

    def __init__(self) -> None:
        super().__init__("The message was deleted before its end was read.")


class EventsGone(Gone):
    """Events between those that a reader has seen and the end of the run are no longer kept."""

    code = "events_gone"

    def __init__(self) -> None:
        super().__init__("The events from here on are no longer kept. Read the result instead of its stream.")
