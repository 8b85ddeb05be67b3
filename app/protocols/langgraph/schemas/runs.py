"""Bodies of requests about runs."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from typing_extensions import override

from ....api.schemas.metadata import Metadata
from ....api.schemas.submissions import MAX_DELAY_SECONDS, MAX_URL_LENGTH, MessageConfig
from ....models.inputs import RunConfig
from ....models.messages import IfBusy, Priority
from ....models.types import JsonObject, Text
from ....text import storable_value
from ..modes import StreamMode

PRIORITY = "priority"

SET_BY_SERVER = frozenset(("thread_id", "run_id", PRIORITY))
"""Keys of `configurable` that no graph gets from a client. The server sets the first two for each run."""

PRIORITIES = ", ".join(Priority)
NOT_TAKEN = "this server does not take it"


def _taken(value: Any) -> Any:
    """Return null, an empty list or false. Raises ValueError for any other value."""
    if value:
        raise ValueError(NOT_TAKEN)
    return value


def _input(value: Any) -> Any:
    """Return an object, a text or null. Raises ValueError for any other value."""
    if value is not None and not isinstance(value, dict | str):
        raise ValueError("expected an object, or a text for a graph that takes one")
    return storable_value(value)


def _listed(value: Any) -> Any:
    """Return one value as a list of it."""
    return value if isinstance(value, list) or value is None else [value]


Name = Annotated[Text, Field(min_length=1, max_length=255)]
NotTaken = Annotated[Any, AfterValidator(_taken)]
Input = Annotated[Any, AfterValidator(_input)]
Modes = Annotated[list[StreamMode], BeforeValidator(_listed), Field(max_length=len(StreamMode))]


class ConfigGiven(MessageConfig):
    """The settings of a run. Further keys of LangChain's config concern the client's own process."""

    model_config = ConfigDict(extra="ignore")

    metadata: Metadata | None = None

    @field_validator("configurable")
    @classmethod
    def _with_known_priority(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and value.get(PRIORITY, Priority.NORMAL) not in list(Priority):
            raise ValueError(f"{PRIORITY}: expected one of {PRIORITIES}")
        return value

    @override
    def run_config(self) -> RunConfig:
        config = super().run_config()
        kept = {key: value for key, value in config.configurable.items() if key not in SET_BY_SERVER}
        return config.model_copy(update={"configurable": kept})


class Command(BaseModel):
    """A command to a graph that has run before."""

    model_config = ConfigDict(extra="forbid")

    resume: Any = None
    update: NotTaken = None
    goto: NotTaken = None


class RunCreate(BaseModel):
    """A new run. Unknown fields are ignored, such as `durability`, which only hints at how to run it."""

    model_config = ConfigDict(extra="ignore")

    assistant_id: Name
    thread_id: Name | None = None
    input: Input = None
    command: Command | None = None
    metadata: Metadata | None = None
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
    checkpoint: NotTaken = None
    checkpoint_id: NotTaken = None
    interrupt_before: NotTaken = None
    interrupt_after: NotTaken = None

    @property
    def modes(self) -> tuple[StreamMode, ...]:
        """Return the stream modes that the client asks for, by default `values`."""
        return tuple(dict.fromkeys(self.stream_mode or (StreamMode.VALUES,)))

    @property
    def priority(self) -> Priority:
        """Return the priority that `config.configurable` or else the metadata names.

        Any other value in the metadata is the client's own.
        """
        configurable = (None if self.config is None else self.config.configurable) or {}
        named = configurable.get(PRIORITY) or (self.metadata or {}).get(PRIORITY)
        return Priority(named) if named in list(Priority) else Priority.NORMAL

    @property
    def given_metadata(self) -> dict[str, Any]:
        """Return the metadata of the run, those in its config included."""
        return {**((self.config and self.config.metadata) or {}), **(self.metadata or {})}
