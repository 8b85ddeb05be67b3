"""Bodies of requests that select many messages, and the reply to a bulk cancel."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ...bulk_manager import MAX_SELECTED
from ...errors import InvalidRequest
from ...models.messages import MessageFilter, MessageState, Priority
from ...models.requests import Selection
from ...models.types import Text, ThreadId
from ...policy.lifecycle import TERMINAL
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


ExpectedCount = Annotated[int, Field(strict=True, ge=0, le=MAX_SELECTED)]


class UnfinishedSelection(BaseModel):
    """Unfinished messages by their ids, or by a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"filter": {"thread_id": THREAD_ID}, "expected_count": 3},
                {"message_ids": [MESSAGE_ID]},
            ]
        },
    )

    message_ids: MessageIds | None = None
    filter: UnfinishedFilter | None = None
    expected_count: ExpectedCount | None = Field(
        None, description="Only with a filter. Nothing is done if the filter matches a different number."
    )

    def selection(self) -> Selection:
        """Return the selection for the queue manager.

        Raises InvalidRequest unless either ids or a filter are given, and if the filter is empty or names a terminal
        state.
        """
        return _selection_of(self.message_ids, self.filter, self.expected_count)


class QueuedFilter(BaseModel):
    """Matches queued messages that have all given values. At least one value is needed."""

    model_config = ConfigDict(extra="forbid")

    thread_id: ThreadId | None = None
    agent: Name | None = None
    priority: Priority | None = None

    def chosen(self) -> MessageFilter:
        """Return the filter for the queue manager. Raises InvalidRequest if it is empty."""
        fields = dict(self)
        if not any(fields.values()):
            raise InvalidRequest("filter: expected at least one field", field="filter")
        return MessageFilter(**fields)


class QueuedSelection(BaseModel):
    """A priority for queued messages, which are given by their ids, or by a filter."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"priority": "high", "message_ids": [MESSAGE_ID]},
                {"priority": "low", "filter": {"agent": "chat"}, "expected_count": 3},
            ]
        },
    )

    priority: Priority
    message_ids: MessageIds | None = None
    filter: QueuedFilter | None = None
    expected_count: ExpectedCount | None = Field(
        None, description="Only with a filter. Nothing is done if the filter matches a different number."
    )

    def selection(self) -> Selection:
        """Return the selection for the queue manager. Raises InvalidRequest unless either ids or a filter are given."""
        return _selection_of(self.message_ids, self.filter, self.expected_count)


def _selection_of(
    message_ids: list[str] | None, chosen: UnfinishedFilter | QueuedFilter | None, expected_count: int | None
) -> Selection:
    """Return the selection of a request that names either ids or a filter. Raises InvalidRequest."""
    if chosen is not None and message_ids is None:
        return Selection(chosen=chosen.chosen(), expected_count=expected_count)
    if message_ids is None or chosen is not None:
        raise InvalidRequest("filter: expected either message_ids or a filter", field="filter")
    if expected_count is not None:
        raise InvalidRequest("expected_count: expected only with a filter", field="expected_count")
    return Selection(tuple(message_ids))


class MessagesReprioritized(BaseModel):
    """The reply to a bulk change of priorities, with the ids of the changed messages."""

    model_config = example(reprioritized=[MESSAGE_ID])

    reprioritized: list[str]


class MessagesCancelled(BaseModel):
    """The reply to a bulk cancel. `cancelled` messages have ended. `stopping` messages will end as cancelled."""

    model_config = example(cancelled=[MESSAGE_ID], stopping=[])

    cancelled: list[str]
    stopping: list[str]
