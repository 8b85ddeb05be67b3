"""The steps and texts of a UI message that are not finished yet, and the chunks that begin and end them. Pure."""

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

Chunk = dict[str, Any]
"""One part of a UI message stream, as JSON values."""

Chunks = Sequence[Chunk]

_NAMES = {"content": "text", "reasoning": "reasoning"}
"""The names of parts by the types of pieces."""

VOID: Chunk = {"providerMetadata": {"agentq": {"discarded": True}}}
"""Marks a text that is not part of the answer. It stays in the part of the message, where pages find it."""


class OpenPart(NamedTuple):
    """A text that is not finished: the message of the agent that it belongs to, its name, and its id in the stream."""

    message: str
    name: str
    id: str

    def end(self, *, is_void: bool = False) -> Chunk:
        """Return the chunk that finishes the text."""
        return {"type": f"{self.name}-end", "id": self.id, **(VOID if is_void else {})}


class OpenParts(NamedTuple):
    """The open step and the open texts. It is never changed: each change returns its chunks and a new state.

    `numbered` counts all texts so far, so that no id is used twice. `has_results` says that a tool has
    answered in the step.
    """

    in_step: bool = False
    has_results: bool = False
    texts: tuple[OpenPart, ...] = ()
    numbered: int = 0

    def with_text(self, message: str, kind: str, piece: str) -> tuple[Chunks, "OpenParts"]:
        """Add a piece of text. Two messages, or a text and the reasoning before it, never share a part."""
        name = _NAMES[kind]
        for each in self.texts:
            if each.message == message and each.name == name and not self.has_results:
                return [{"type": f"{name}-delta", "id": each.id, "delta": piece}], self
        begun, parts = self._in_fresh_step()
        ended, parts = parts.without(message)
        part = OpenPart(message, name, f"{name}-{parts.numbered}")
        chunks = [{"type": f"{name}-start", "id": part.id}, {"type": f"{name}-delta", "id": part.id, "delta": piece}]
        return [*begun, *ended, *chunks], parts._replace(texts=(*parts.texts, part), numbered=parts.numbered + 1)

    def with_call(self, message: str) -> tuple[Chunks, "OpenParts"]:
        """Make room for a tool call of a message, whose text ends before it."""
        begun, parts = self._in_fresh_step()
        ended, parts = parts.without(message)
        return [*begun, *ended], parts

    def with_result(self) -> tuple[Chunks, "OpenParts"]:
        """Make room for the result of a tool. Texts after it are in a new step."""
        begun, parts = self.step_begun()
        return begun, parts._replace(has_results=True)

    def with_questions(self) -> tuple[Chunks, "OpenParts"]:
        """Make room for questions, which come after all texts of their step."""
        ended, parts = self.closed()
        begun, parts = parts.step_begun()
        return [*ended, *begun], parts

    def without(self, message: str, *, is_void: bool = False) -> tuple[Chunks, "OpenParts"]:
        """Finish the texts of a message."""
        ended = [each.end(is_void=is_void) for each in self.texts if each.message == message]
        return ended, self._replace(texts=tuple(each for each in self.texts if each.message != message))

    def closed(self, *, void: Container[str] = ()) -> tuple[Chunks, "OpenParts"]:
        """Finish all texts. Mark those of the messages in `void`."""
        return [each.end(is_void=each.message in void) for each in self.texts], self._replace(texts=())

    def step_begun(self) -> tuple[Chunks, "OpenParts"]:
        """Begin a step unless one is open."""
        return ([], self) if self.in_step else ([{"type": "start-step"}], self._replace(in_step=True))

    def step_finished(self) -> tuple[Chunks, "OpenParts"]:
        """Finish all texts, and the step if one is open."""
        ended, parts = self.closed()
        if not parts.in_step:
            return ended, parts
        return [*ended, {"type": "finish-step"}], parts._replace(in_step=False, has_results=False)

    def _in_fresh_step(self) -> tuple[Chunks, "OpenParts"]:
        """Begin a step, unless one without results of tools is open."""
        finished, parts = self.step_finished() if self.has_results else ([], self)
        begun, parts = parts.step_begun()
        return [*finished, *begun], parts


NO_PARTS = OpenParts()
