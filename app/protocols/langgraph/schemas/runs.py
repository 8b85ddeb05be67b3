"""Bodies of requests about runs."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)
from typing_extensions import override

from ....api.schemas.commands import MAX_NODES, MessageCommand, NodeName, NodeToRun
from ....api.schemas.submissions import MAX_DELAY_SECONDS, MAX_URL_LENGTH, MessageConfig
from ....models.inputs import GraphCommand, RunConfig, RunInput
from ....models.messages import IfBusy, Priority
from ....models.types import JsonObject, Text
from ....text import storable_value
from ..modes import StreamMode, shown_events
from .fields import CheckpointId, Name, listed
from .metadata import NestedMetadata

PRIORITY = "priority"

SET_BY_SERVER = frozenset(("thread_id", "run_id", PRIORITY))
"""Keys of `configurable` that no graph gets from a client. The server sets the first two for each run."""

PRIORITIES = ", ".join(Priority)


def _input(value: Any) -> Any:
    """Return an object, a text or null. Raises ValueError for any other value."""
    if not isinstance(value, dict | str | None):
        raise ValueError("expected an object, or a text for a graph that takes one")
    if isinstance(value, str) and not value.strip():
        raise ValueError("expected a text that is not blank")
    return storable_value(value)


def _update(value: Any) -> Any:
    """Return an update as an object. Clients may also give pairs of key and value."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value):
        raise ValueError("expected an object, or pairs of key and value")
    if len({pair[0] for pair in value}) < len(value):
        raise ValueError("give each key once")
    return dict(value)


Input = Annotated[Any, AfterValidator(_input)]
Update = Annotated[JsonObject | None, BeforeValidator(_update)]
Modes = Annotated[list[StreamMode], BeforeValidator(listed), Field(max_length=len(StreamMode))]
Nodes = Annotated[list[NodeName], BeforeValidator(listed), Field(max_length=MAX_NODES)]


def _check_priority(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the value. Raises ValueError if it names a priority that there is not."""
    if value is not None and value.get(PRIORITY) not in (None, *Priority):
        raise ValueError(f"{PRIORITY}: expected one of {PRIORITIES}")
    return value


class ConfigGiven(MessageConfig):
    """The settings of a run. Further keys of LangChain's config concern the client's own process."""

    model_config = ConfigDict(extra="ignore")

    metadata: NestedMetadata | None = None

    @field_validator("configurable")
    @classmethod
    def _with_known_priority(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return _check_priority(value)

    @override
    def run_config(self) -> RunConfig:
        config = super().run_config()
        kept = {key: value for key, value in config.configurable.items() if key not in SET_BY_SERVER}
        return config.model_copy(update={"configurable": kept})


class Command(BaseModel):
    """A command to a graph that has run before: the answer to its question, or a change of its state and its way."""

    model_config = ConfigDict(extra="forbid")

    resume: Any = None
    update: Update = None
    goto: Annotated[list[NodeName | NodeToRun], BeforeValidator(listed), Field(max_length=MAX_NODES)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.resume is not None and self.changes:
            raise ValueError("give either resume, or update and goto")
        if "resume" not in self.model_fields_set and not self.changes:
            raise ValueError("give resume, update or goto")
        return self

    @property
    def changes(self) -> bool:
        """Return whether the command changes the state or the way of the graph, and answers nothing."""
        return self.update is not None or bool(self.goto)

    def graph_command(self) -> GraphCommand:
        """Return the change as the worker gets it."""
        return MessageCommand(update=self.update, goto=self.goto).graph_command()


class RunCreate(BaseModel):
    """A new run. Unknown fields are ignored, such as `durability`, which only hints at how to run it."""

    model_config = ConfigDict(extra="ignore")

    assistant_id: Name
    thread_id: Name | None = None
    input: Input = None
    command: Command | None = None
    metadata: NestedMetadata | None = None
    config: ConfigGiven | None = None
    context: JsonObject | None = None
    stream_mode: Modes | None = None
    stream_subgraphs: bool | None = None
    multitask_strategy: IfBusy | None = None
    if_not_exists: Literal["create", "reject"] | None = None
    after_seconds: Annotated[float, Field(strict=True, ge=0, le=MAX_DELAY_SECONDS, allow_inf_nan=False)] | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None
    on_completion: Literal["delete", "keep"] | None = None
    webhook: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] | None = None
    checkpoint: CheckpointId = None
    checkpoint_id: Name | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    _default_priority: Priority = PrivateAttr(Priority.NORMAL)

    @field_validator("metadata")
    @classmethod
    def _with_known_priority(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        return _check_priority(value)

    @model_validator(mode="after")
    def _without_empty_input(self) -> Self:
        """Leave out the empty input that LangGraph's React hook sends beside a command."""
        if self.command is not None and self.input == {}:
            self.input = None
        return self

    @property
    def answers(self) -> bool:
        """Return whether the run answers a question."""
        return self.command is not None and not self.command.changes

    def run_input(self) -> RunInput:
        """Return what the worker gets, without the text. A run without input goes on where the graph stopped."""
        changes = self.command is not None and self.command.changes
        return RunInput(
            input=self.input if isinstance(self.input, dict) else None,
            context=self.context,
            config=RunConfig() if self.config is None else self.config.run_config(),
            events=shown_events(self.modes),
            continues=self.input is None and not changes,
            command=self.command.graph_command() if self.command is not None and changes else None,
            interrupt_before=tuple(dict.fromkeys(self.interrupt_before or ())),
            interrupt_after=tuple(dict.fromkeys(self.interrupt_after or ())),
            checkpoint_id=self.checkpoint_id or self.checkpoint,
        )

    @property
    def modes(self) -> tuple[StreamMode, ...]:
        """Return the stream modes that the client asks for, by default `values`."""
        return tuple(dict.fromkeys(self.stream_mode or (StreamMode.VALUES,)))

    def with_default(self, priority: Priority | None) -> Self:
        """Take a priority for the case that the run itself names none, and return the run. None changes nothing."""
        if priority is not None:
            self._default_priority = priority
        return self

    @property
    def priority(self) -> Priority:
        """Return the priority that `config.configurable` or else the metadata names, or else the default one."""
        configurable = (None if self.config is None else self.config.configurable) or {}
        named = configurable.get(PRIORITY) or (self.metadata or {}).get(PRIORITY)
        return self._default_priority if named is None else Priority(named)

    @property
    def given_metadata(self) -> dict[str, Any]:
        """Return the metadata of the run, those in its config included."""
        return {**((self.config and self.config.metadata) or {}), **(self.metadata or {})}
