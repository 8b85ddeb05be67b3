"""`agentq chat` against a real server: on a terminal, in a pipe, and its conversation without either."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.cli.conversation import Conversation, texts_of
from app.cli.failures import Place
from app.client import AsyncAgentQ
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_command_line import AGENTS, run
from tests.openai_stub import Answer, StubServer, ToolCall
from tests.screens import OnTerminal
from tests.servers import LiveServer, until


class Transcript:
    """A view that keeps what it is shown."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.given_back = ""

    def say(self, text: str) -> None:
        self.lines.append(f"> {text}")

    def show(self, markdown: str) -> None:
        self.lines.append(markdown)

    def note(self, text: str) -> None:
        self.lines.append(f"({text})")

    def give_back(self, text: str) -> None:
        self.given_back = text

    def changed(self) -> None:
        pass


@contextlib.asynccontextmanager
async def entered(server: LiveServer, **options: Any) -> AsyncIterator[tuple[Conversation, Transcript]]:
    """A conversation that runs."""
    view = Transcript()
    async with AsyncAgentQ(server.url) as client:
        conversation = Conversation(client, view, Place("chat", server.url), **options)
        task = asyncio.create_task(conversation.run())
        try:
            yield conversation, view
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_lines_wait_behind_the_answer_and_a_new_reader_sees_it_all(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("second")
    async with entered(server, thread_id="t", agent="steps") as (first, view):
        first.send("Hello")
        first.send("again")
        await until(lambda: first.live == "Step one. ", "the first step is shown")
        await until(lambda: texts_of(first.behind, first.unsent) == ["again"], "the second line waits")
        assert first.status.startswith("running")
        assert view.lines == ["> Hello"]
    async with entered(server, thread_id="t") as (second, view):
        await until(lambda: second.live == "Step one. ", "the answer goes on where it is")
        control.release("second")
        await until(lambda: "Heard: Hello | again" in view.lines, "both are answered")
        await until(lambda: second.turn is None, "all has ended")
        assert [line for line in view.lines if line[0] == ">"] == ["> Hello", "> again"]
        await second.retry()
        await until(lambda: view.lines.count("> again") == 2 and second.turn is None, "the last one is answered anew")
    async with entered(server, thread_id="t") as (_, view):
        await until(lambda: len(view.lines) >= 4, "the history is shown")
        assert view.lines[0] == "> Hello"


async def test_an_answer_is_stopped_and_a_question_answered(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    control.hold("first")
    async with entered(server, thread_id="t", agent="steps") as (conversation, view):
        assert not await conversation.stop()
        await conversation.retry()
        assert view.lines == ["(There is no answer to try again yet.)"]
        conversation.send("Hello")
        await until(lambda: control.waits("first"), "it runs")
        assert await conversation.stop()
        assert not await conversation.stop()
        await until(lambda: conversation.turn is None, "it has ended")
        assert view.lines[-1] == "(stopped · /retry answers anew)"
    control.release_all()
    async with entered(server, thread_id="u", agent="approving") as (conversation, view):
        for answer in ("Yes.", {"any": ["value"]}):
            conversation.send("Hello")
            await until(lambda: conversation.asked, "the agent asks")
            assert view.lines[-1] == "(? May I?)"
            given = conversation.answer(answer) if isinstance(answer, str) else conversation.answer_value(answer)
            await given
            await until(lambda: conversation.turn is None and not conversation.behind, "it is answered")
        await until(lambda: "{'any': ['value']}" in view.lines, "the value was given as it is")
        assert "Yes." in view.lines
        control.hold("second")
        conversation.send("Hello")
        await until(lambda: conversation.asked, "the agent asks")
        await conversation.answer("Once.")
        await until(lambda: control.waits("second"), "it goes on")
    async with entered(server, thread_id="u") as (later, view):
        await until(lambda: "Once." in later.live, "the answer is shown")
        assert not any("May I?" in line for line in view.lines), "a question that was answered is not asked again"
    control.release_all()


async def test_calls_of_tools_are_shown_and_approved(serve: Serve, control: GraphControl, model: StubServer) -> None:
    server = await serve(agents="adder=tests.graphs:approved_tools")
    async with entered(server, thread_id="t") as (conversation, view):
        for answer, result in (("1", "Five."), ("too much", "Then not.")):
            model.replies += [ToolCall("_add", {"a": 2, "b": 3}), Answer(result)]
            conversation.send("What is 2 + 3?")
            await until(lambda: conversation.asked, "the agent asks")
            assert view.lines[-4:-2] == ["(? May the agent call _add(a=2, b=3)?)", "(  1. approve)"]
            await conversation.answer(answer)
            await until(lambda: conversation.turn is None and not conversation.behind, "it is answered")
            assert result in view.lines
        assert view.lines.count("(⚙ _add(a=2, b=3))") == 2, "once each, though a run that goes on gives its calls again"
    assert control.runs["add"] == 1, "the second call was rejected"


async def test_a_line_that_is_refused_comes_back(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    async with entered(server, thread_id="t", agent="nobody") as (conversation, view):
        conversation.send("Hello")
        await until(lambda: view.given_back == "Hello", "the line comes back")
        await until(lambda: view.lines, "the refusal is told")
        assert "nobody" in view.lines[-1]
        assert not conversation.unsent


async def test_lines_of_a_pipe_are_answered_one_by_one(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=f"chat=tests.graphs:steps,{AGENTS}", max_attempts=1)
    answered = await run(server, "chat", "--thread", "t", typed="Hello\n\nagain\n")
    assert answered.output == "Step one. Heard: Hello\nStep one. Heard: Hello | again\n"
    failed = await run(server, "chat", "--agent", "failing", "--json", typed="Hello\nagain\n")
    assert (failed.code, failed.problem["code"]) == (1, "agent_error")
    assert [each["type"] for each in failed.records][-1] == "error"


async def test_a_chat_on_a_terminal(serve: Serve, control: GraphControl, terminals: list[OnTerminal]) -> None:
    server = await serve(agents=AGENTS)
    control.hold("second")
    terminal = OnTerminal(server.url, "chat", "--thread", "t", "--agent", "steps", columns=60)
    terminals.append(terminal)
    await until(lambda: "/help names the commands" in terminal.text, "the chat has begun")
    terminal.type("**Hello**\r")
    await until(lambda: "Step one." in terminal.text and "running" in terminal.text, "it is answered")
    terminal.type("again\r/nope\r")
    await until(lambda: "queued behind: again" in terminal.text, "the second line waits")
    await until(lambda: "no command /nope. Try: /help" in terminal.text, "the command is refused")
    terminal.press_ctrl_c()
    await until(lambda: "stopped · /retry" in terminal.text, "the first is stopped")
    await until(lambda: "queued behind" not in terminal.text, "the second runs")
    await until(lambda: "running" in terminal.text, "it runs")
    terminal.press_ctrl_c()
    terminal.press_ctrl_c()
    await until(lambda: terminal.process.poll() is not None, "the second Ctrl-C leaves")
    assert terminal.process.returncode == 130
    assert "Come back: agentq chat --thread t" in terminal.text
    assert "> **Hello**" in terminal.rows
    control.release_all()


@pytest.mark.parametrize(("command", "sign"), [("chat", "/help names the commands"), ("top", "WORKERS")])
async def test_a_screen_is_suspended_and_comes_back(
    serve: Serve, terminals: list[OnTerminal], command: str, sign: str
) -> None:
    server = await serve(agents=AGENTS)
    terminals.append(terminal := OnTerminal(server.url, columns=100))
    terminal.type(f"{sys.executable} -m app.cli {command}\n")
    await until(lambda: sign in terminal.text, "it is shown")
    terminal.type("\x1a")
    await until(lambda: "Stopped" in terminal.text, "the shell has the terminal")
    terminal.type("clear; fg; echo left with $?\n")
    if command == "chat":
        terminal.type("/nope\r")
        await until(lambda: "no command /nope" in terminal.text, "the chat takes lines again")
        terminal.type("\x04")
    else:
        await until(lambda: "q quit" in terminal.text, "it is drawn again")
        terminal.type("q")
    await until(lambda: "left with 0" in terminal.text, "the shell goes on")
