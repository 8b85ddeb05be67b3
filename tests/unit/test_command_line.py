"""The command line itself: what it imports, its errors, and what it writes to terminals and pipes."""

import json
import re
import subprocess
import sys
from io import StringIO

import pytest

from app.cli.failures import Place, explain
from app.cli.main import execute
from app.cli.showing import AnswerView
from app.cli.terminal import Column, Terminal, clean, on_line
from app.client.errors import ConfigurationError, FieldProblem, InvalidRequest
from app.client.events import Waiting
from tests.servers import ROOT

IMPORTS = """
import json, sys
from app.cli.main import main
found = []
for arguments in (["--version"], ["--help"], ["completion", "bash"], ["ls", "--url", "ftp://x"]):
    sys.argv = ["agentq", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code or arguments[0] == "ls", arguments
    found.append(sorted(sys.modules))
print(json.dumps(found))
"""

HEAVY = (
    "fastapi",
    "langgraph",
    "pydantic",
    "httpx",
    "httpx2",
    "rich",
    "asyncio",
    "app.config",
    "app.main",
    "app.client",
)


class Screen(StringIO):
    """A stream that a person sees."""

    def isatty(self) -> bool:
        return True


def on_screen(width: int, **environment: str) -> Terminal:
    return Terminal(Screen(), Screen(), Screen(), environment=environment, width=width)


def in_pipe() -> Terminal:
    return Terminal(StringIO(), StringIO(), StringIO(), environment={})


def written(stream: object) -> str:
    assert isinstance(stream, StringIO)
    return stream.getvalue()


def test_a_command_imports_only_what_it_needs() -> None:
    """Imports are nearly all of the time of a short command."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, cwd=ROOT, env={}, check=True, capture_output=True, text=True)
    version, help_of_all, completion, listing = (set(each) for each in json.loads(done.stdout.splitlines()[-1]))
    assert not {"typer", *HEAVY} & version
    assert "typer" in help_of_all
    assert not set(HEAVY) & help_of_all
    assert set(HEAVY) & completion <= {"pydantic"}  # typer converts values with it
    assert "app.cli.completion" in completion - help_of_all
    assert {"httpx", "app.client"} <= listing
    assert not {"fastapi", "langgraph", "httpx2", "rich", "app.config", "app.main", "httpx._main"} & listing


HOSTILE = "a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\u2066 \x08\x00\r[bold]b[/bold] :smile:"
HARMLESS = "a[31mred]0;title 2J evil [bold]b[/bold] :smile:"


def test_hostile_text_reaches_no_terminal() -> None:
    assert clean(HOSTILE) == HARMLESS
    assert clean("two\n\tlines") == "two\n\tlines"
    assert on_line("a\r\nb\u2028c\td ") == "a b c d"
    for terminal in (on_screen(80), in_pipe()):
        terminal.write(HOSTILE)
        terminal.end_line()
        terminal.note(HOSTILE)
        terminal.fields([("name", HOSTILE)])
        assert set(written(terminal.stdout).splitlines()) == {HARMLESS, f"name  {HARMLESS}"}
        assert written(terminal.stderr) == f"{HARMLESS}\n"
    shown = on_screen(80)
    shown.table([Column("NAME")], [[HOSTILE]])
    assert HARMLESS in written(shown.stdout)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_table_fits_the_screen_and_pipes_get_all_fields(width: int) -> None:
    columns = [Column("ID"), Column("AGENT", least=100), Column("TEXT", is_long=True), Column("STATE")]
    row = ["i" * 36, "chat", "word " * 40, "failed"]
    shown = on_screen(width, NO_COLOR="1")
    shown.table(columns, [row])
    lines = written(shown.stdout).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].startswith("i" * 36 + "  ")
    assert lines[1].endswith("…  failed")
    assert ("AGENT" in lines[0]) == (width >= 100)
    piped = in_pipe()
    piped.table(columns, [row])
    assert written(piped.stdout) == "\t".join([*row[:2], row[2].strip(), row[3]]) + "\n"


def test_the_line_that_changes_fits_the_screen() -> None:
    """A line that wraps would leave its beginning behind with each change."""
    terminal = on_screen(40, TERM="xterm-256color")
    view = AnswerView(terminal)
    for reason in ("The queue is paused by an operator, for an update of the model", "No live worker takes this agent"):
        view.take(Waiting(None, {}, 3, None, "paused", reason))
    view.pause()
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written(terminal.stderr))
    assert "queued, 3 before it · No live" in shown
    assert "\n" not in shown.rstrip()
    assert max(map(len, shown.split("\r"))) <= 40


def test_colours_are_for_terminals_that_want_them() -> None:
    def bold(terminal: Terminal) -> str:
        terminal.console(terminal.stdout).print("x", style="bold red")
        return written(terminal.stdout)

    assert "\x1b[" in bold(on_screen(80, TERM="xterm-256color"))
    assert "31m" not in bold(on_screen(80, TERM="xterm-256color", NO_COLOR="1"))
    assert bold(in_pipe()) == "x\n"


def test_wrong_usage_is_one_line_with_a_command_that_helps() -> None:
    terminal = in_pipe()
    assert execute(["migrat"], terminal) == 2
    assert written(terminal.stderr) == "No such command 'migrat'. Did you mean 'migrate'? Try: agentq --help\n"
    terminal = in_pipe()
    assert execute(["completion", "ksh", "--json"], terminal) == 2
    told = json.loads(written(terminal.stderr))
    assert (told["code"], told["fix"]) == ("usage", "agentq completion --help")
    assert written(terminal.stdout) == ""


def test_an_error_is_said_once_with_its_cure() -> None:
    refused = InvalidRequest(
        "POST /messages was refused: agent: There is none.",
        status=422,
        code="unknown_agent",
        cure="Change the request.",
        fields=[FieldProblem("agent", "There is none.")],
    )
    assert explain(refused, Place("submit")).message == "agent: There is none."
    unusable = ConfigurationError("The address 'x' cannot be used.", cure="Give one such as http://localhost:8000.")
    assert explain(unusable, Place("ls")).message.endswith("cannot be used. Give one such as http://localhost:8000.")


def test_closed_streams_are_as_empty_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    terminal = Terminal.of_process()
    with terminal.stdin, terminal.stdout, terminal.stderr:
        assert terminal.stdin.read() == ""
        assert execute(["submit", "--file", "-", "--url", "nowhere"], terminal) == 2
        assert not terminal.can_ask


def test_json_that_nests_too_deeply_is_wrong_usage() -> None:
    assert execute(["submit", "--input", "[" * 100_000], Terminal(StringIO(), StringIO(), errors := StringIO())) == 2
    assert "expected JSON" in errors.getvalue()


def test_a_submit_that_is_interrupted_says_that_it_may_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.client.AgentQ.submit", interrupted)
    errors = StringIO()
    assert execute(["submit", "Hello"], Terminal(StringIO(), StringIO(), errors)) == 130
    assert "may be stored. Look: agentq ls" in errors.getvalue()
