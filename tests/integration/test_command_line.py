"""Commands that ask a server, against a real one: their output, exit codes, questions, and Ctrl-C."""

import asyncio
import json
import os
import re
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from agentq_client import AgentQ

from app.cli import follow, messages
from app.cli.main import execute
from app.cli.showing import AnswerView
from app.cli.terminal import Terminal
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.screens import OnTerminal
from tests.servers import LiveServer, until
from tests.unit.test_command_line import Screen

AGENTS = ",".join(f"{name}=tests.graphs:{name}" for name in ("steps", "approving", "failing"))


class Ended(NamedTuple):
    """The output of a command, and its exit code."""

    code: int
    output: str
    errors: str

    @property
    def records(self) -> list[Any]:
        """Return the JSON lines of the output."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def problem(self) -> Any:
        """Return the error as JSON."""
        return json.loads(self.errors.splitlines()[-1])


async def run(server: LiveServer, *arguments: str, typed: str = "", width: int | None = None) -> Ended:
    """Run a command on a thread: in pipes, or on a screen of this width where `typed` is typed."""
    kind = StringIO if width is None else Screen
    terminal = Terminal(kind(typed), kind(), kind(), environment={"NO_COLOR": "1"}, width=width)
    code = await asyncio.to_thread(execute, [*arguments, "--url", server.url], terminal)
    assert isinstance(terminal.stdout, StringIO)
    assert isinstance(terminal.stderr, StringIO)
    return Ended(code, terminal.stdout.getvalue(), terminal.stderr.getvalue())


async def test_a_message_is_submitted_followed_and_shown(serve: Serve) -> None:
    server = await serve()
    submitted = await run(server, "submit", "Hello", "--thread", "t", "--priority", "high")
    message_id = submitted.output.strip()
    assert f"agentq follow {message_id} --url {server.url}" in submitted.errors
    followed = await run(server, "follow", message_id)
    assert (followed.code, followed.output) == (0, "You said: Hello\n")
    on_screen = await run(server, "follow", message_id, width=80)
    assert on_screen.output == "You said: Hello\n"
    assert re.search(r"\d tokens · .* s\n$", on_screen.errors)
    shown = await run(server, "status", message_id)
    assert "state     completed\n" in shown.output
    assert "result    You said: Hello\n" in shown.output
    [record] = (await run(server, "status", message_id, "--json")).records
    assert (record["result"], record["priority"], record["thread_id"]) == ("You said: Hello", "high", "t")
    events = (await run(server, "submit", "Bye", "--follow", "--json")).records
    assert [events[0]["type"], events[-1]["type"]] == ["accepted", "done"]
    assert events[-1]["data"]["result"] == "You said: Bye"
    assert (await run(server, "submit", "--file", "-", "--wait", typed="Hey")).output == "You said: Hey\n"
    key = ("--idempotency-key", "k")
    assert (await run(server, "submit", "x", *key)).output == (await run(server, "submit", "x", *key)).output


async def test_lists_are_tables_for_people_and_lines_for_programs(serve: Serve) -> None:
    server = await serve()
    for text in ("Hello", "\x1b[31m[bold]evil"):
        await run(server, "submit", text, "--thread", "t", "--wait")
    lines = [line.split("\t") for line in (await run(server, "ls", "--thread", "t")).output.splitlines()]
    assert [line[6] for line in lines] == ["[31m[bold]evil", "Hello"]
    assert [each["message_id"] for each in (await run(server, "ls", "--json")).records] == [line[0] for line in lines]
    assert (await run(server, "ls", "--state", "failed"))[1:] == ("", "")
    assert (await run(server, "ls", "--state", "failed", width=80))[1:] == ("", "None.\n")
    assert "usage" in (await run(server, "ls", "--json")).records[0]
    assert (await run(server, "ls", "--metadata", "no")).code == 2
    for width in (60, 80, 120):
        table = (await run(server, "ls", width=width)).output.splitlines()
        assert max(map(len, table)) <= width
        assert table[0].split()[:2] == ["ID", "STATE"]
    [thread] = (await run(server, "threads", "list", "--json")).records
    assert (thread["thread_id"], thread["message_count"]) == ("t", 2)
    assert "messages  2\n" in (await run(server, "threads", "show", "t")).output
    refused = await run(server, "threads", "delete", "t")
    assert (refused.code, refused.errors.endswith(f"agentq threads delete --yes t --url {server.url}\n")) == (2, True)
    assert (await run(server, "threads", "delete", "t", typed="n\n", width=80)).code == 1
    assert (await run(server, "threads", "delete", "t", typed="y\n", width=80)).output == "Deleted t\n"
    assert (await run(server, "threads", "show", "t")).code == 3
    missing = await run(server, "threads", "delete", "t", typed="y\n", width=80)
    assert (missing.code, missing.errors.count("[y/N]")) == (3, 0), "nothing is asked about a thread that is missing"
    [worker] = (await run(server, "workers", "--json")).records
    assert worker["pid"] == os.getpid()
    line = (await run(server, "workers")).output.rstrip("\n").split("\t")
    assert line[:2] == [worker["id"], "active"]
    assert re.fullmatch(r"\d \d+ MB \d+\.\d", " ".join(line[-3:]))
    for command in (["workers"], ["workers", "list"]):
        assert (await run(server, *command)).output.startswith(f"{worker['id']}\tactive\t")
    assert (await run(server, "workers", "drain", worker["id"])).output.startswith(f"{worker['id']} is drain")
    [drained] = (await run(server, "workers", "drain", worker["id"], "--json")).records
    assert drained["state"] in ("draining", "drained")
    assert (await run(server, "workers", "resume", worker["id"])).output == f"{worker['id']} starts messages again\n"
    assert (await run(server, "workers", "drain", "nobody")).code == 3


async def test_a_list_is_shown_again_until_ctrl_c(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    await run(server, "submit", "First")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) > 1:
            raise KeyboardInterrupt
        client = AgentQ(server.url)
        client.submit("Second")
        client.close()

    monkeypatch.setattr(messages, "sleep", wait)
    watched = await run(server, "ls", "--watch")
    assert (watched.code, waits) == (130, [messages.WATCH_SECONDS] * 2)
    assert [line.split("\t")[6] for line in watched.output.splitlines()] == ["First", "Second", "First"]


async def test_the_queue_is_paused_and_a_waiting_message_cancelled(serve: Serve) -> None:
    server = await serve()
    assert (await run(server, "queue", "pause")).output == "The queue is paused.\n"
    message_id = (await run(server, "submit", "Hello")).output.strip()
    told = (await run(server, "submit", "Hello", width=80)).errors
    assert f"queued, 1 before it · The queue is paused. Open it: agentq queue resume --url {server.url}." in told
    assert (await run(server, "cancel", (await run(server, "ls", "--limit", "1")).output.partition("\t")[0])).code == 0
    shown = await run(server, "queue", "show")
    assert shown.output.startswith("queue        paused\nqueued       1\n")
    assert message_id in shown.output
    late = await run(server, "follow", message_id, "--timeout", "0.2", "--json")
    assert (late.code, late.problem["code"]) == (4, "wait_timeout")
    assert late.problem["fix"] == f"agentq follow {message_id} --url {server.url}"
    assert "queued" in (await run(server, "follow", message_id, "--timeout", "0.2")).errors
    both = await run(server, "cancel", message_id, "nobody")
    assert (both.code, both.output) == (3, f"{message_id} cancelled\n")
    ended = await run(server, "follow", message_id, "--json")
    assert (ended.code, ended.problem["code"]) == (1, "message_cancelled")
    assert (await run(server, "queue", "resume")).output == "The queue is open.\n"


async def test_a_question_is_answered(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS)
    asked = await run(server, "submit", "Hello", "--agent", "approving", "--wait", "--json")
    assert (asked.code, asked.problem["code"]) == (1, "message_interrupted")
    message_id = asked.problem["fix"].split()[2]
    unanswered = await run(server, "resume", message_id)
    assert (unanswered.code, "The message asks: May I?" in unanswered.errors) == (2, True)
    assert (await run(server, "resume", message_id, "Yes.", "--follow")).code == 0
    again = await run(server, "resume", message_id, "Yes.", "--json")
    assert (again.code, again.problem["code"]) == (1, "not_interrupted")
    on_screen = await run(server, "submit", "Hi", "--agent", "approving", "--follow", typed="Yes.\n", width=80)
    assert on_screen.code == 0
    assert "May I?\n> " in on_screen.errors


async def test_dead_letters_are_queued_again_or_deleted(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    failed = await run(server, "submit", "Hello", "--agent", "failing", "--wait", "--json")
    assert failed.code == 1
    message_id = failed.problem["fix"].split()[2]
    assert failed.problem["fix"] == f"agentq retry {message_id} --url {server.url}"
    [letter] = (await run(server, "dead-letters", "list", "--json")).records
    assert letter["message_id"] == message_id
    [kind] = (await run(server, "dead-letters", "groups", "--json")).records
    assert kind["count"] == 1
    assert (await run(server, "retry", message_id)).output.startswith(f"{message_id} ")
    await run(server, "follow", message_id)
    chosen = ("--fingerprint", kind["fingerprint"])
    assert (await run(server, "dead-letters", "requeue", *chosen, "--yes")).output == "Queued 1 again\n"
    await run(server, "follow", message_id)
    assert (await run(server, "dead-letters", "purge")).code == 2
    unknown = await run(server, "dead-letters", "purge", "nobody", "--yes", "--json")
    assert (unknown.code, unknown.problem["fix"]) == (3, f"agentq dead-letters list --url {server.url}")
    refused = await run(server, "dead-letters", "purge", *chosen)
    assert (refused.code, "Delete 1 failed message for good?" in refused.errors) == (2, True)
    assert (await run(server, "dead-letters", "purge", message_id, "--yes")).output == "Deleted 1\n"
    assert (await run(server, "dead-letters", "list")).output == ""
    assert (
        await run(server, "dead-letters", "purge", *chosen)
    ).output == "Deleted 0\n", "nobody is asked about nothing"


async def test_errors_are_one_line_with_a_code_and_a_command(serve: Serve, tmp_path: Path) -> None:
    server = await serve(allow_anonymous=False)
    missing = await run(server, "status", "nobody")
    assert missing == (3, "", f"There is no message with the id 'nobody'. Try: agentq ls --url {server.url}\n")
    traced = await run(server, "status", "nobody", "--debug")
    assert "Traceback" in traced.errors
    (tmp_path / "key").write_text("aq_wrong\n")
    refused = await run(server, "ls", "--json", "--api-key-file", str(tmp_path / "key"))
    assert (refused.code, refused.output) == (1, "")
    assert refused.problem["code"] == "invalid_api_key"
    assert refused.problem["fix"].startswith("AGENTQ_API_KEY=... agentq ls")
    assert (await run(server, "ls", "--api-key-file", str(tmp_path / "none"))).code == 2
    assert (await run(server, "submit", "--json")).problem["fix"] == "agentq submit --help"
    wrong = await run(server, "submit", "Hello", "--agent", "nobody")
    assert (wrong.code, "agent" in wrong.errors, wrong.errors.count("\n")) == (2, True, 1)
    terminal = Terminal(StringIO(), StringIO(), StringIO())
    assert await asyncio.to_thread(execute, ["ls", "--url", "http://127.0.0.1:1"], terminal) == 1
    assert isinstance(terminal.stderr, StringIO)
    assert terminal.stderr.getvalue().endswith("Try: agentq doctor --url http://127.0.0.1:1\n")


async def test_ctrl_c_leaves_the_message_running(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(AnswerView, "take", interrupt)
        changed.setattr(follow, "CANCEL_SECONDS", 0.0)
        left = await run(server, "submit", "Hello", "--follow", width=80)
    assert left.code == 130
    [found] = re.findall(r"Come back: agentq follow (\S+)", left.errors)
    assert (await run(server, "follow", found)).output == "You said: Hello\n"


async def test_a_second_ctrl_c_cancels_the_message(
    serve: Serve, control: GraphControl, terminals: list[OnTerminal]
) -> None:
    server = await serve(agents=AGENTS)
    control.hold("first")
    await run(server, "queue", "pause")
    terminal = OnTerminal(server.url, "submit", "Hello", "--agent", "steps", "--follow", columns=60)
    terminals.append(terminal)
    await until(lambda: "queued" in terminal.shown, "the message waits")
    await run(server, "queue", "resume")
    await until(lambda: "running" in terminal.shown, "the message runs")
    terminal.press_ctrl_c()
    await until(lambda: "Press Ctrl-C again" in terminal.shown, "the command has detached")
    terminal.press_ctrl_c()
    await until(lambda: terminal.process.poll() is not None, "the command ends")
    assert terminal.process.returncode == 130
    [message_id] = re.findall(r"agentq follow (\S+)", terminal.shown)
    await until(lambda: "cancelled" in terminal.shown or "being stopped" in terminal.shown, "it is told")
    control.release_all()
    state = await run(server, "follow", message_id, "--json")
    assert (state.code, state.problem["code"]) == (1, "message_cancelled")
