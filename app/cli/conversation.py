"""A conversation of `agentq chat`: sends lines, follows answers in the order of the thread, asks what agents ask."""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..client import errors, events
from .failures import Place, explain
from .markdown import MarkdownFeed
from .questions import Asked, call_text, read_question
from .terminal import on_line
from .texts import footer, seconds, waiting

if TYPE_CHECKING:
    from ..client import AsyncAgentQ
    from ..client.models import Message

HISTORY = 20
"""How many messages are shown when a conversation is entered."""


class ChatView(Protocol):
    """The place where a conversation is shown. Texts come as agents and users wrote them."""

    def say(self, text: str) -> None:
        """Show what the person has said."""

    def show(self, markdown: str) -> None:
        """Show finished blocks of an answer."""

    def note(self, text: str) -> None:
        """Show a line about the conversation."""

    def give_back(self, text: str) -> None:
        """Put a line that was not sent back to where it was typed."""

    def changed(self) -> None:
        """Draw what changes in place anew."""


@dataclass
class Turn:
    """A message of the conversation that has not ended. `is_said` is whether the view shows its text already."""

    message_id: str
    text: str
    is_said: bool = False
    is_stopping: bool = False


class Conversation:
    """The messages of one thread. `turn` is the one whose answer is shown now, None between two."""

    def __init__(
        self, client: "AsyncAgentQ", view: ChatView, place: Place, *, thread_id: str, agent: str | None = None
    ) -> None:
        self.thread_id = thread_id
        self.turn: Turn | None = None
        self.behind: deque[Turn] = deque()
        self.unsent: deque[str] = deque()
        self._client = client
        self._view = view
        self._place = place
        self._agent = agent
        self._asked: deque[Asked] = deque()
        self._answers: dict[str, object] = {}
        self._calls: set[str | None] = set()
        self._feed = MarkdownFeed()
        self._status = ""
        self._began: float | None = None
        self._last: Message | None = None
        self._news = asyncio.Event()

    @property
    def asked(self) -> Asked | None:
        """Return the question that the next line answers."""
        return self._asked[0] if self._asked else None

    @property
    def live(self) -> str:
        """Return the block of the answer that is being written."""
        return self._feed.rest

    @property
    def status(self) -> str:
        """Return what happens now, as a line."""
        if self.turn is None:
            return ""
        if self.turn.is_stopping:
            return "stopping"
        if self._asked:
            return "the agent asks; type your answer"
        if self._began is None:
            return self._status
        return f"{self._status} · {seconds(time.monotonic() - self._began)} · Ctrl-C stops the answer"

    async def run(self) -> None:
        """Show the history, then send lines and follow answers until the task is cancelled."""
        try:
            await self._enter()
        except errors.AgentQError as error:
            self._tell(error)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_lines())
            tasks.create_task(self._follow_turns())

    def send(self, line: str) -> None:
        """Send a line behind those before it."""
        self.unsent.append(line)
        self._wake()

    async def answer(self, line: str) -> None:
        """Answer the question that is asked. After the last one, the answers are sent together."""
        if self.turn is None or not self._asked:
            return
        asked = self._asked.popleft()
        self._answers[asked.id] = asked.answer(line)
        self._view.say(line)
        if self._asked:
            self._pose()
            return
        await self._give_answers(self.turn.message_id)

    async def answer_value(self, value: object) -> None:
        """Answer the question that is asked with a JSON value."""
        if self.turn is None or not self._asked:
            return
        self._answers[self._asked.popleft().id] = value
        if self._asked:
            self._pose()
            return
        await self._give_answers(self.turn.message_id)

    async def stop(self) -> bool:
        """Stop the answer that is shown. Return False if there is none, or if it is being stopped already."""
        turn = self.turn
        if turn is None or turn.is_stopping:
            return False
        turn.is_stopping = True
        self._view.changed()
        try:
            await self._client.cancel(turn.message_id)
        except errors.Conflict:
            pass  # it has just ended
        except errors.AgentQError as error:
            turn.is_stopping = False
            self._tell(error)
        return True

    async def retry(self) -> None:
        """Answer the last message anew."""
        last = self._last
        if self.turn is not None or last is None:
            self._view.note("There is no answer to try again yet.")
            return
        try:
            if last.state == "failed":
                message_id = (await self._client.retry(last.message_id)).message_id
            else:
                message_id = (await self._client.regenerate(last.message_id)).message_id
        except errors.AgentQError as error:
            self._tell(error)
            return
        self.behind.append(Turn(message_id, last.user_message))
        self._wake()

    # Sending

    async def _send_lines(self) -> None:
        while True:
            while self.unsent:
                await self._submit(self.unsent[0])
            self._news.clear()
            await self._news.wait()

    async def _submit(self, line: str) -> None:
        try:
            agent = {} if self._agent is None else {"agent": self._agent}
            accepted = await self._client.submit(line, thread_id=self.thread_id, **agent)  # type: ignore[arg-type]  # TypedDict
        except errors.AgentQError as error:
            self._view.give_back(line)
            self._tell(error)
        else:
            self.behind.append(Turn(accepted.message_id, line))
        self.unsent.popleft()
        self._wake()

    # Following

    async def _enter(self) -> None:
        found: list[Message] = []
        async for message in self._client.messages(thread_id=self.thread_id, limit=HISTORY):
            found.append(message)
            if len(found) == HISTORY:
                break
        for message in reversed(found):
            if message.completed_at is None:
                self.behind.append(Turn(message.message_id, message.user_message))
                continue
            self._view.say(message.user_message)
            self._last = message
            if message.result:
                self._view.show(message.result)
            if message.state != "completed":
                self._view.note(_end_of(message))
        if found and self._agent is None:
            self._agent = found[0].agent

    async def _follow_turns(self) -> None:
        while True:
            while self.behind:
                self.turn = self.behind.popleft()
                self._begin(self.turn)
                try:
                    await self._follow(self.turn)
                except errors.AgentQError as error:
                    self._tell(error)
                finally:
                    self._flush()
                self.turn, self._status, self._began = None, "", None
                self._asked.clear()
                self._view.changed()
            self._news.clear()
            await self._news.wait()

    def _begin(self, turn: Turn) -> None:
        self._status, self._began, self._feed = "sent", None, MarkdownFeed()
        self._calls.clear()
        if not turn.is_said:
            turn.is_said = True
            self._view.say(turn.text)

    async def _follow(self, turn: Turn) -> None:
        async with self._client.follow(turn.message_id) as stream:
            async for event in stream:
                await self._take(event, stream.text)
                self._view.changed()
        message = await self._client.status(turn.message_id)
        self._last = message
        self._flush()
        if ended := _end_of(message):
            self._view.note(ended)

    async def _take(self, event: events.StreamEvent, text: str) -> None:
        match event:
            case events.Waiting():
                self._status, self._began = waiting(event.position, event.eta, event.reason), None
            case events.Processing():
                self._status = "running" if event.attempt == 1 else f"running, attempt {event.attempt}"
                self._began = time.monotonic()
            case events.ToolCall() if event.call_id is None or event.call_id not in self._calls:
                self._calls.add(event.call_id)  # an attempt that goes on after an answer gives its calls again
                self._flush()
                self._view.note(f"⚙ {call_text(event.name, event.args)}")
            case events.ToolResult() if event.status == "error":
                self._view.note(f"✗ {event.name or 'tool'}: {event.content}")
            case events.Retry():
                self._view.note(f"attempt {event.attempt} failed: {event.error}")
            case events.Interrupted():
                await self._ask()
            case events.Resumed():
                self._asked.clear()
            case events.Discard() if event.kept:
                self._flush()
                self._feed.keep(text)  # what was shown stays in the conversation, as a step before the answer
            case _:
                pass
        if isinstance(event, events.Content | events.Discard | events.Retry | events.Reset | events.Done):
            self._show(text, is_end=isinstance(event, events.Done))

    def _show(self, text: str, *, is_end: bool) -> None:
        blocks, is_new = self._feed.take(text, is_end=is_end)
        if is_new and text:
            self._view.note("The text above is discarded; the answer begins anew.")
        if blocks:
            self._view.show(blocks)

    def _flush(self) -> None:
        if left := self._feed.flush():
            self._view.show(left)

    # Questions

    async def _ask(self) -> None:
        if self.turn is None:
            return
        message = await self._client.status(self.turn.message_id)
        if message.state != "interrupted":  # an old question, of a log that is read again
            return
        self._flush()
        self._asked, self._answers = deque(map(read_question, message.interrupts)), {}
        self._pose()

    def _pose(self) -> None:
        for line in self._asked[0].lines():
            self._view.note(f"? {line}" if line is self._asked[0].text else line)
        self._view.changed()

    async def _give_answers(self, message_id: str) -> None:
        try:
            await self._client.resume(message_id, values=self._answers)
        except errors.AgentQError as error:
            self._tell(error)
            if not isinstance(error, errors.Conflict):
                await self._ask()

    def _tell(self, error: errors.AgentQError) -> None:
        failure = explain(error, self._place)
        self._view.note(f"{failure.message} Try: {failure.fix}" if failure.fix else failure.message)

    def _wake(self) -> None:
        self._news.set()
        self._view.changed()


def new_thread_id() -> str:
    """Return the id of a conversation that begins."""
    return f"chat-{secrets.token_hex(6)}"


def texts_of(turns: Sequence[Turn], unsent: Sequence[str]) -> list[str]:
    """Return the lines that wait behind the answer that is shown, as single lines."""
    return [on_line(text) for text in (*(turn.text for turn in turns), *unsent)]


def _end_of(message: "Message") -> str:
    """Return the line below an answer."""
    if message.state == "failed":
        return f"failed: {message.error or message.error_code} · /retry tries again"
    if message.state == "cancelled":
        return "stopped · /retry answers anew"
    return footer(message)
