"""Notes on a response that the surface keeps with its message."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ...models.messages import Message

SURFACE_NAME = "openai"


class Notes(BaseModel):
    """The fields that a client gave for a response and no agent reads. They are stored as `MessageOptions.surface`.

    With `owns_thread`, the thread of the message has only responses that follow each other. It is no conversation that
    clients know.
    """

    model_config = ConfigDict(frozen=True)

    previous_response_id: str | None = None
    instructions: str | None = None
    background: bool = False
    service_tier: str | None = None
    owns_thread: bool = False

    def as_stored(self) -> dict[str, Any]:
        """Return the notes under the surface's name, as JSON values."""
        return {SURFACE_NAME: self.model_dump(mode="json")}

    @classmethod
    def of(cls, message: Message) -> Self:
        """Return the notes on a message. A message from elsewhere has none."""
        return cls.model_validate((message.options.surface or {}).get(SURFACE_NAME) or {})
