"""The texts and steps of a run that are not finished yet, and the events that begin and end them. Pure."""

from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from ag_ui.core import (
    BaseEvent,
    ReasoningEndEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    ReasoningStartEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)

Events = Sequence[BaseEvent]

VOID: dict[str, Any] = {"agentq": {"discarded": True}}
"""The metadata of a text that is not part of the answer. Clients keep it in the message."""


def reasoning_id(message: str) -> str:
    """Return the id of the message that has the reasoning of a message. Clients keep the two apart by their ids."""
    return f"{message}-reasoning"


class OpenText(NamedTuple):
    """A text that is not finished: the message of the agent that it belongs to, and whether it is reasoning."""

    message: str
    is_reasoning: bool

    def begin(self) -> Events:
        """Return the events that begin the text, or go on with one of which clients have the beginning."""
        if self.is_reasoning:
            name = reasoning_id(self.message)
            return [ReasoningStartEvent(message_id=name), ReasoningMessageStartEvent(message_id=name)]
        return [TextMessageStartEvent(message_id=self.message, role="assistant")]

    def piece(self, text: str) -> BaseEvent:
        """Return the event of a piece of the text."""
        if self.is_reasoning:
            return ReasoningMessageContentEvent(message_id=reasoning_id(self.message), delta=text)
        return TextMessageContentEvent(message_id=self.message, delta=text)

    def end(self, *, is_void: bool = False) -> Events:
        """Return the events that finish the text."""
        about = VOID if is_void else None
        if self.is_reasoning:
            name = reasoning_id(self.message)
            return [ReasoningMessageEndEvent(message_id=name, metadata=about), ReasoningEndEvent(message_id=name)]
        return [TextMessageEndEvent(message_id=self.message, metadata=about)]


class OpenParts(NamedTuple):
    """The open texts and steps. It is never changed: each change returns its events and a new state.

    A step that runs several times side by side is in `steps` as often, and clients see it once.
    """

    texts: tuple[OpenText, ...] = ()
    steps: tuple[str, ...] = ()

    def with_text(self, message: str, piece: str, *, is_reasoning: bool) -> tuple[Events, "OpenParts"]:
        """Add a piece of text. A text and the reasoning before it are never open together."""
        text = OpenText(message, is_reasoning)
        if text in self.texts:
            return [text.piece(piece)], self
        ended, parts = self.without(message)
        return [*ended, *text.begin(), text.piece(piece)], parts._replace(texts=(*parts.texts, text))

    def without(self, message: str, *, is_void: bool = False) -> tuple[Events, "OpenParts"]:
        """Finish the texts of a message."""
        return self._closed(lambda each: each.message == message, {message} if is_void else ())

    def closed(self, *, void: Container[str] = ()) -> tuple[Events, "OpenParts"]:
        """Finish all texts. Mark those of the messages in `void`."""
        return self._closed(lambda _: True, void)

    def _closed(self, is_chosen: Callable[[OpenText], bool], void: Container[str]) -> tuple[Events, "OpenParts"]:
        ended = [event for each in self.texts if is_chosen(each) for event in each.end(is_void=each.message in void)]
        return ended, self._replace(texts=tuple(each for each in self.texts if not is_chosen(each)))

    def voided(self, message: str, kinds: Container[str] = ("content",)) -> tuple[Events, "OpenParts"]:
        """Mark the texts of a message that do not count, whether or not they were finished before.

        `kinds` are those of its finished texts, `content` or `reasoning`. Open ones are finished and marked.
        """
        ended, parts = self.without(message, is_void=True)
        texts = [OpenText(message, kind == "reasoning") for kind in ("reasoning", "content") if kind in kinds]
        finished = [each for each in texts if each not in self.texts]
        marked = [event for each in finished for event in (*each.begin(), *each.end(is_void=True))]
        return [*ended, *marked], parts

    def step_begun(self, name: str) -> tuple[Events, "OpenParts"]:
        """Begin a step."""
        begun = [] if name in self.steps else [StepStartedEvent(step_name=name)]
        return begun, self._replace(steps=(*self.steps, name))

    def step_finished(self, name: str) -> tuple[Events, "OpenParts"]:
        """Finish a step, if it was begun."""
        if name not in self.steps:
            return [], self
        steps = list(self.steps)
        steps.remove(name)
        ended = [] if name in steps else [StepFinishedEvent(step_name=name)]
        return ended, self._replace(steps=tuple(steps))

    def steps_finished(self) -> tuple[Events, "OpenParts"]:
        """Finish all steps."""
        ended = [StepFinishedEvent(step_name=each) for each in dict.fromkeys(reversed(self.steps))]
        return ended, self._replace(steps=())

    def opened_again(self) -> Events:
        """Return the events that open all of this for a client that has what came before."""
        steps = [StepStartedEvent(step_name=each) for each in dict.fromkeys(self.steps)]
        return [*steps, *(event for each in self.texts for event in each.begin())]


NO_PARTS = OpenParts()
