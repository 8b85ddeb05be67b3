"""Bodies of requests of LangGraph's agent protocol."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, model_validator

from ....models.types import JsonObject, Text
from .runs import RunCreate

MAX_SEQ = 2**53 - 1
"""The greatest whole number that JavaScript's clients can keep."""

MAX_FILTERS = 100

RECORDED = ("values", "updates", "custom")
"""The modes that a run records for readers of its thread, besides messages. What readers want is not known yet."""

CHANNELS = ("values", "updates", "messages", "tools", "custom", "lifecycle", "input", "tasks", "checkpoints")


def _channel(value: str) -> str:
    """Return a channel. Raises ValueError for an unknown one."""
    if value in CHANNELS or (value.startswith("custom:") and value != "custom:"):
        return value
    raise ValueError(f"expected one of {', '.join(CHANNELS)}, or custom:<name>")


Channel = Annotated[Text, Field(max_length=255), AfterValidator(_channel)]
Segment = Annotated[Text, Field(max_length=255)]
Namespace = Annotated[list[Segment], Field(max_length=MAX_FILTERS)]


class EventStreamRequest(BaseModel):
    """The part of a thread that a client wants to see. Without `since`, everything that is kept."""

    model_config = ConfigDict(extra="ignore")

    channels: Annotated[list[Channel], Field(min_length=1, max_length=MAX_FILTERS)]
    namespaces: Annotated[list[Namespace], Field(max_length=MAX_FILTERS)] | None = None
    depth: Annotated[StrictInt, Field(ge=0, le=MAX_FILTERS)] | None = None
    since: Annotated[StrictInt, Field(ge=0, le=MAX_SEQ)] | None = None


class ThreadCommand(BaseModel):
    """A command to a thread."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[StrictInt, Field(ge=0, le=MAX_SEQ)]
    method: Annotated[Text, Field(max_length=255)]
    params: JsonObject | None = None


def _text(value: Any) -> Any:
    return None if value == "" else value


class RunStart(RunCreate):
    """The parameters of `run.start`. A checkpoint to begin at comes in `config.configurable`."""

    @model_validator(mode="before")
    @classmethod
    def _as_run(cls, given: Any) -> Any:
        """Return the parameters in the form of a new run, which may make its thread."""
        if not isinstance(given, dict):
            return given
        run = {**given, "if_not_exists": "create", "stream_mode": [*RECORDED]}
        if run.get("multitask_strategy") is None:
            run["multitask_strategy"] = given.get("multitaskStrategy")  # the JavaScript client's name of the field
        match given.get("config"):
            case {"configurable": {"checkpoint_id": checkpoint_id, **rest}, **config}:
                run |= {"checkpoint_id": checkpoint_id, "config": {**config, "configurable": rest}}
        return run


class Response(BaseModel):
    """The answer to one question."""

    model_config = ConfigDict(extra="ignore")

    interrupt_id: Annotated[Text, Field(min_length=1, max_length=255)]
    response: Any


class InputRespond(BaseModel):
    """The parameters of `input.respond`: one answer, or several."""

    model_config = ConfigDict(extra="ignore")

    interrupt_id: Annotated[Text | None, Field(max_length=255), BeforeValidator(_text)] = None
    response: Any = None
    responses: Annotated[list[Response], Field(min_length=1, max_length=1_000)] | None = None
    update: Any = None
    goto: Any = None

    @property
    def answers(self) -> dict[str, object]:
        """Return the answers by the ids of their questions; empty if there is none."""
        if self.responses is not None:
            return {each.interrupt_id: each.response for each in self.responses}
        return {} if self.interrupt_id is None else {self.interrupt_id: self.response}
