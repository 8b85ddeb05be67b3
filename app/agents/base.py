"""Defines what the rest of the system needs of an agent: it answers a message piece by piece."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from ..errors.threads import AgentWithoutState
from ..models.agents import AgentDescription
from ..models.attempts import Lease
from ..models.inputs import NO_RUN_INPUT, RunInput
from ..models.messages import DEFAULT_TENANT
from ..models.parts import Part
from ..models.thread_states import Checkpoint, StateChange, StateText
from ..models.threads import MemoryRight, Turn
from ..observability.tracing import RunTrace
from ..policy.agent_input import ANY_OBJECT
from .token_usage import TokenUsage

MAX_OUTPUT_BYTES = 1024 * 1024
"""The default of the setting of the same name."""


class FinalResult(NamedTuple):
    """The whole answer. An agent yields it once, at the end.

    `output` is JSON: the structured response, or what the agent wrote in place of a text. None: the text is all.
    """

    text: str
    output: str | None = None


class AgentDrained(Exception):
    """The run stopped after a step, at the worker's request. A later attempt continues it."""


class AgentInterrupted(Exception):
    """The run ended with questions to a human. A later attempt continues it with the answers.

    `interrupts` has the form of `app.models.Message.interrupt`.
    """

    def __init__(self, interrupts: str) -> None:
        super().__init__("The agent asks a human.")
        self.interrupts = interrupts


class Drain:
    """A request to all runs to stop after their present step. It may be made before anybody listens for it."""

    def __init__(self) -> None:
        self.requested = False
        self._listeners: list[Callable[[], None]] = []

    def request(self) -> None:
        """Ask all runs to stop after their present step."""
        self.requested = True
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call the listener when a stop is requested; at once if it was requested before."""
        self._listeners.append(listener)
        if self.requested:
            listener()

    def forget(self, listener: Callable[[], None]) -> None:
        """Remove a listener of `on_request`."""
        self._listeners.remove(listener)


@dataclass(frozen=True, slots=True)
class AgentTask:
    """One attempt at a message.

    - `memory_key` names the conversation.
    - `memory_fence` proves the right to write to the conversation. Later messages and attempts have higher fences.
    - `resume` has a human's answers by the ids of their questions.
    - `rollback` has the ids of messages whose steps are forgotten first.
    - `given` is what the message gives besides its text.
    - `metadata` is the message's.
    - `usage` counts the tokens that the providers of the agent's models report.
    - `max_output_bytes` is the setting MAX_OUTPUT_BYTES.
    - `tenant` is the message's. The items that the agent keeps belong to it.
    - `subject` is the end user to whom the message belongs.
    - `trace` is the run's place in a trace, None if it is in none.
    """

    lease: Lease
    content: str
    memory_key: str
    memory_fence: tuple[int, int]
    drain: Drain
    resume: dict[str, Any] | None = None
    rollback: tuple[str, ...] = ()
    given: RunInput = NO_RUN_INPUT
    metadata: Mapping[str, Any] = field(default_factory=dict)
    usage: TokenUsage = field(default_factory=TokenUsage)
    max_output_bytes: int = MAX_OUTPUT_BYTES
    tenant: str = DEFAULT_TENANT
    subject: str | None = None
    trace: RunTrace | None = None

    @property
    def message_id(self) -> str:
        """Return the id of the message.

        In the agent's memory, the human message has this id, or the id that the client gave.
        """
        return self.lease.message_id


class StateAccess(StrEnum):
    """Why a conversation is opened outside of a run, in the words of LangGraph's server."""

    READ = "threads.read"
    UPDATE = "threads.update"


class Conversation(NamedTuple):
    """A thread of a tenant, the agent whose memory of the thread is used, and the key of that memory."""

    tenant: str
    agent: str
    memory_key: str
    thread_id: str


Redact = Callable[[str], str]
"""Returns a text without secrets."""


class ConversationStates(Protocol):
    """The states of one conversation. Its methods run on the agents' event loop and may run code of the agent."""

    async def read(self, checkpoint_id: str | None, *, subgraphs: bool) -> StateText:
        """Return the state at a checkpoint; with `checkpoint_id` None, return the newest state.

        With `subgraphs`, the state's tasks include the states of their subgraphs. Raises CheckpointNotFound.
        """

    async def history(self, before: str | None, limit: int, most_text: int) -> list[StateText]:
        """Return up to `limit` states that are older than the checkpoint `before`, newest first.

        With `before` None, begin at the newest state. Stop early once the states' texts reach `most_text` characters.
        """

    async def newest_turn(self, without: Collection[str] = (), of: str | None = None) -> Turn | None:
        """Return the newest checkpoint that no message in `without` made, and that the message `of` made if given.

        Return None if there is none.
        """

    async def turn_at(self, checkpoint_id: str) -> Turn:
        """Return a checkpoint. Raises CheckpointNotFound."""

    async def oldest_turn(self) -> Turn | None:
        """Return the oldest checkpoint that is still kept, None if there is none."""

    async def update(
        self, change: StateChange, right: MemoryRight, confirm: Callable[[], Awaitable[object]]
    ) -> Checkpoint:
        """Change the state and return the new checkpoint. It belongs to the turn of the state that was changed.

        `confirm` is awaited when the memory knows the right and before anything is written. It raises an error if the
        thread was deleted. A later deletion of the memory also deletes the right.

        Raises CheckpointNotFound, StateWillBeForgotten, LeaseLost if an attempt has begun or the memory was deleted
        meanwhile, InvalidInput, which names the field, for what the graph does not take, and what `confirm` raises.
        """


class Agent(Protocol):
    """Answers messages."""

    def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield the answer in pieces, then the FinalResult.

        A later attempt yields the pieces of finished steps again, then continues. A failed message that was put back
        behind others becomes a new turn at the end of the conversation.

        Raises AgentDrained, AgentInterrupted, LeaseLost, and whatever the agent's own code raises.
        Raises InvalidInput if the agent cannot take what the message gives.
        """

    def describe(self, name: str) -> AgentDescription:
        """Return what the agent takes, returns and shows, under this name."""
        return AgentDescription(name=name, input_schema=ANY_OBJECT, output_schema={})

    def open_states(
        self, conversation: Conversation, access: StateAccess, redact: Redact  # noqa: ARG002  for agents with states
    ) -> AbstractAsyncContextManager[ConversationStates]:
        """Open the states of a conversation.

        `access` is the purpose. `redact` removes secrets from the errors in states.

        Raises AgentWithoutState if the agent keeps no states, and whatever the agent's own code raises.
        """
        raise AgentWithoutState(conversation.agent)

    async def fence_off(self, task: AgentTask) -> None:
        """Take the right to write to the agent's memory from an attempt that does not stop."""
