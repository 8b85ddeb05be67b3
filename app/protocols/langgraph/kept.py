"""Notes on a run that the surface keeps with its message."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ...models.messages import IfBusy, Message
from .modes import StreamMode, recorded_modes

SURFACE_NAME = "langgraph"


class Kept(BaseModel):
    """The options of a run that no agent reads. They are stored as `MessageOptions.surface`."""

    model_config = ConfigDict(frozen=True)

    stream_mode: tuple[StreamMode, ...] = ()
    stream_subgraphs: bool = False
    multitask_strategy: IfBusy = IfBusy.ENQUEUE

    def as_stored(self) -> dict[str, Any]:
        """Return the notes under the surface's name, as JSON values."""
        return {SURFACE_NAME: self.model_dump(mode="json")}

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the notes on a message. A message from elsewhere has the modes that its events allow."""
        stored = (message.options.surface or {}).get(SURFACE_NAME)
        if stored is None:
            return cls(stream_mode=tuple(recorded_modes(message.options.run.events)))
        return cls.model_validate(stored)
