"""Defines an agent for the rest of the system: it answers a message piece by piece."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from ..models.attempts import Lease
from ..models.inputs import NO_RUN_INPUT, RunInput
from ..models.parts import Part


class FinalResult(NamedTuple):
    """The whole answer. An agent yields it once, last.

    `output` is a JSON text: the structured response, or what an agent wrote instead of a text.
    """

    text: str
    output: str | None = None


class AgentDrained(Exception):
    """The run stopped after a step because the worker asked it to. A later attempt continues it."""


class AgentInterrupted(Exception):
    """The run ended with questions to a human. It continues when the answers are there.

    `interrupts` is as in `app.models.Message.interrupt`.
    """

    def __init__(self, interrupts: str) -> None:
        super().__init__("The agent asks a human.")
        self.interrupts = interrupts


class Drain:
    """A request to stop after the present step. It may be made before anybody listens."""

    def __init__(self) -> None:
        self.requested = False
        self._listeners: list[Callable[[], None]] = []

    def request(self) -> None:
        """Ask all runs to stop after their present step."""
        self.requested = True
        for listener in self._listeners:
            listener()

    def on_request(self, listener: Callable[[], None]) -> None:
        """Call the listener when a stop is requested, at once if it already was."""
        self._listeners.append(listener)
        if self.requested:
            listener()

    def forget(self, listener: Callable[[], None]) -> None:
        """Undo `on_request`."""
        self._listeners.remove(listener)


@dataclass(frozen=True, slots=True)
class AgentTask:
    """An attempt at a message.

    `memory_key` names the conversation. `memory_fence` proves the right to write to it. It is compared as a tuple and
    rises with each message of the thread and each attempt. `resume` has a human's answers by the ids of the interrupts.
    `rollback` has the ids of messages whose steps are forgotten first. `given` is what the message gave besides its
    text.
    """

    lease: Lease
    content: str
    memory_key: str
    memory_fence: tuple[int, int]
    drain: Drain
    resume: dict[str, Any] | None = None
    rollback: tuple[str, ...] = ()
    given: RunInput = NO_RUN_INPUT

    @property
    def message_id(self) -> str:
        """Return the id of the message, which the human turn in the agent's memory has too."""
        return self.lease.message_id


class Agent(Protocol):
    """Answers messages."""

    def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        """Yield the answer in pieces, then the whole.

        A later attempt yields the pieces of the finished steps again and continues after the last one. A failed message
        that was put back behind others becomes a new turn at the end.

        Raises AgentDrained, AgentInterrupted, LeaseLost, or whatever the agent's own code raises.
        """

    async def fence_off(self, task: AgentTask) -> None:
        """Take the right to write to the agent's memory from an attempt that does not stop."""
