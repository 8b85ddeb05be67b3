"""Bodies of requests that select many messages, and the reply to a bulk cancel."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...errors import InvalidRequest
from ...models.messages import MessageFilter, MessageState, Priority
from ...models.requests import Selection
from ...models.types import Text, ThreadId
from ...policy.lifecycle import TERMINAL
from ...queue_manager import MAX_SELECTED
from .examples import MESSAGE_ID, THREAD_ID, example

NAME_MAX_LENGTH = 255


Name = Annotated[Text, Field(min_length=1, max_length=NAME_MAX_LENGTH)]


MessageIds = Annotated[list[Name], Field(min_length=1, max_length=MAX_SELECTED)]


class DeadLetterFilter(BaseModel):
    """Matches dead letters that have all given values. Without values it matches all dead letters."""

    model_config = ConfigDict(extra="forbid")

    thread_id: ThreadId | None = None
    agent: Name | None = None
    priority: Priority | None = None
    error_code: Name | None = None
    fingerprint: Name | None = None

    def chosen(self) -> MessageFilter:
        """Return the filter for the queue manager."""
        return MessageFilter(**dict(self))


class DeadLetterSelection(BaseModel):
    """Dead letters by their ids, or by a filter and the number of messages that it is expected to match."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"message_ids": [MESSAGE_ID]},
                {"filter": {"error_code": "provider_unavailable"}, "expected_count": 12},
            ]
        },
    )

    message_ids: MessageIds | None = None
    filter: DeadLetterFilter | None = None
    expected_count: Annotated[int, Field(strict=True, ge=0, le=MAX_SELECTED)] | None = Field(
        None, description="Required with a filter. Nothing is done if the filter matches a different number."
    )

    def selection(self) -> Selection:
        """Return the selection for the queue manager.

        Raises InvalidRequest unless either ids or a filter with `expected_count` are given.
        """
        if (self.message_ids is None) == (self.filter is None):
            raise InvalidRequest("filter: expected either message_ids or a filter", field="filter")
        if self.filter is None:
            return Selection(tuple(self.message_ids or ()))
        if self.expected_count is None:
            raise InvalidRequest("expected_count: required with a filter", field="expected_count")
        return Selection(chosen=self.filter.chosen(), expected_count=self.expected_count)


def _listed(value: object) -> object:
    """Return a single state as a list."""
    return [value] if isinstance(value, str) else value


ListedStates = Annotated[list[MessageState], Field(min_length=1)]


States = Annotated[ListedStates, BeforeValidator(_listed, json_schema_input_type=MessageState | ListedStates)]


class UnfinishedFilter(DeadLetterFilter):
    """Matches unfinished messages that have all given values. At least one value is needed."""

    state: States | None = Field(
        None, description="`queued`, `processing` or `interrupted`, or a list of these states. By default all three."
    )

    def chosen(self) -> MessageFilter:
        """Return the filter for the queue manager. Raises InvalidRequest if it is empty or names a terminal state."""
        fields = dict(self)
        states = fields.pop("state")
        if states is None and not any(fields.values()):
            raise InvalidRequest("filter: expected at least one field", field="filter")
        if states is not None and (ended := TERMINAL.intersection(states)):
            raise InvalidRequest(
                f"filter.state: messages that are {min(ended)} cannot be cancelled", field="filter.state"
            )
        return MessageFilter(states=None if states is None else frozenset(states), **fields)


class UnfinishedSelection(BaseModel):
    """Selects unfinished messages by a filter."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"filter": {"thread_id": THREAD_ID}, "expected_count": 3}]}
    )

    filter: UnfinishedFilter
    expected_count: Annotated[int, Field(strict=True, ge=0, le=MAX_SELECTED)] | None = Field(
        None, description="Nothing is done if the filter matches a different number."
    )

    def selection(self) -> Selection:
        """Return the selection for the queue manager.

        Raises InvalidRequest if the filter is empty or names a terminal state.
        """
        return Selection(chosen=self.filter.chosen(), expected_count=self.expected_count)


class MessagesCancelled(BaseModel):
    """The reply to a bulk cancel. `cancelled` messages have ended. `stopping` messages will end as cancelled."""

    model_config = example(cancelled=[MESSAGE_ID], stopping=[])

    cancelled: list[str]
    stopping: list[str]
