"""The command line itself: what it imports, its errors, and what it writes to terminals and pipes."""

import errno
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest

from app.cli import doctor, filters, submit
from app.cli.failures import Place
from app.cli.main import execute
from app.cli.showing import AnswerView
from app.cli.terminal import Column, Terminal, clean, on_line
from app.client.events import Waiting
from app.models.diagnosis import FindingCode
from app.models.messages import MessageState, Priority
from app.observability.doctor.findings import error as error_of
from app.observability.doctor.findings import report
from tests.command_line import parsed
from tests.servers import ROOT

IMPORTS = """
import json, os, sys
from app.cli.main import main
found = []
for arguments in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    if not os.fork():  # each command begins with the modules of its process alone
        sys.argv = ["agentq", *arguments]
        try:
            main()
        except SystemExit as end:
            assert not end.code or arguments[0] == "ls", arguments
        os.write(writing, json.dumps(sorted(sys.modules)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        found.append(pipe.read())
    os.wait()
print(json.dumps([json.loads(each) for each in found]))
"""

HEAVY = {
    "fastapi",
    "langgraph",
    "pydantic",
    "httpx",
    "httpx2",
    "rich",
    "prompt_toolkit",
    "asyncio",
    "app.config",
    "app.main",
    "app.client",
}

OF_SERVERS = {
    "fastapi",
    "starlette",
    "uvicorn",
    "langgraph",
    "langchain_core",
    "opentelemetry",
    "prometheus_client",
    "httpx",
    "httpx2",
    "rich",
    "app.api",
    "app.bootstrap",
    "app.client",
    "app.main",
}

STORE_COMMANDS = (["migrate"], ["keys", "list"], ["usage"], ["audit"], ["doctor"])


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


def imported(database: Path, *commands: Sequence[str]) -> list[set[str]]:
    """Return the modules that are imported when each command has ended."""
    environment = {"DATABASE_URL": f"sqlite:///{database}", "AGENTQ_URL": "http://127.0.0.1:1"}
    program = [sys.executable, "-c", IMPORTS, json.dumps(commands)]
    done = subprocess.run(program, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return [set(each) for each in json.loads(done.stdout.splitlines()[-1])]


def test_a_command_imports_only_what_it_needs(tmp_path: Path) -> None:
    """Imports are nearly all of the time of a short command."""
    commands = (["--version"], ["--help"], ["completion", "bash"], ["ls", "--url", "ftp://x"], *STORE_COMMANDS)
    version, help_of_all, completion, listing, *store_commands = imported(tmp_path / "queue.db", *commands)
    assert not {"typer", *HEAVY} & version
    assert "typer" in help_of_all
    assert not HEAVY & help_of_all
    assert HEAVY & completion <= {"pydantic"}  # typer converts values with it
    assert "app.cli.completion" in completion - help_of_all
    assert {"httpx", "app.client"} <= listing
    assert (
        not {"fastapi", "langgraph", "httpx2", "rich", "prompt_toolkit", "app.config", "app.main", "httpx._main"}
        & listing
    )
    for command, modules in zip(STORE_COMMANDS, store_commands, strict=True):
        assert "app.store.sqlite.store" in modules, command
        assert not OF_SERVERS & modules, command
    for modules in (completion, listing, *store_commands):
        assert "importlib.metadata._meta" not in modules, "it is imported to look for plugins of Pydantic"


LATE_METADATA = """
from app.cli.quick_imports import skip_plugins
skip_plugins()
import sys, pydantic
pydantic.create_model("Made", name=str)(name="a")
assert "importlib.metadata._meta" not in sys.modules
from importlib import metadata
from importlib.metadata import entry_points
assert entry_points(group="console_scripts")
try:
    metadata.distribution("no such package")
except metadata.PackageNotFoundError:
    print(metadata.version("typer"))
"""


def test_metadata_of_packages_are_there_for_those_who_read_them() -> None:
    done = subprocess.run([sys.executable, "-c", LATE_METADATA], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stderr, done.stdout.strip()) == ("", version("typer"))


COLLECTIONS = """
import gc, sys
ends = []
gc.callbacks.append(lambda phase, info: ends.append(phase))
sys.argv = ["agentq", *sys.argv[1:]]
from app.cli.main import main
before = len(ends)
try:
    main()
except SystemExit:
    print(len(ends) - before, gc.isenabled())
"""


@pytest.mark.parametrize(("arguments", "most"), [(("ls", "--url", "ftp://x"), 0), (("usage",), 100)])
def test_no_garbage_is_looked_for_while_a_command_is_imported(
    arguments: Sequence[str], most: int, tmp_path: Path
) -> None:
    """A command that makes a database collects the garbage of that: 28 times where it was 214 times."""
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'queue.db'}"}
    program = [sys.executable, "-c", COLLECTIONS, *arguments]
    done = subprocess.run(program, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    collections, is_enabled = done.stdout.split()[-2:]
    assert is_enabled == "True"
    assert int(collections) <= most


HOSTILE = "a\x1b[31mred\x1b]0;title\x07 \x9b2J \u202eevil\u2066 \x08\x00\r[bold]b[/bold] :smile:"
HARMLESS = "a[31mred]0;title 2J evil [bold]b[/bold] :smile:"


def test_hostile_text_reaches_no_terminal() -> None:
    assert clean(HOSTILE) == HARMLESS
    assert clean("two\n\tlines") == "two\n\tlines"
    assert on_line("a\r\nb\u2028c\td ") == "a b c d"
    for terminal in (on_screen(80), in_pipe()):
        terminal.write(HOSTILE)
        terminal.end_line()
        terminal.line(HOSTILE)
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
    short = on_screen(width, NO_COLOR="1")
    short.table(columns, [["i", "chat", "", "failed"]])
    assert "TEXT" not in written(short.stdout), "a column without a value takes no room"
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


def test_messages_are_chosen_by_the_states_and_priorities_of_the_server() -> None:
    """They are listed for commands that do not import the server's models."""
    assert {each.value for each in filters.State} == {each.value for each in MessageState}
    assert {each.value for each in filters.Priority} == {each.value for each in Priority}


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


LEADING_NOWHERE = "http://127.0.0.1:1"


def test_an_address_without_a_server_is_told_within_the_tries_of_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream alone would go on for minutes."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the stream was opened before any server had answered")

    monkeypatch.setattr("app.client.AgentQ.follow", never)
    monkeypatch.setattr("app.client.client.time.sleep", lambda _: None)
    errors = StringIO()
    assert execute(["follow", "m", "--url", LEADING_NOWHERE], Terminal(StringIO(), StringIO(), errors)) == 1
    assert errors.getvalue() == (
        f"GET {LEADING_NOWHERE}/messages/m/status got no reply: connection refused. "
        f"Try: agentq doctor --url {LEADING_NOWHERE}\n"
    )


def test_a_connection_that_ended_is_told() -> None:
    terminal = in_pipe()
    AnswerView(terminal).reconnects(2)
    assert written(terminal.stderr) == "the connection ended; the next try is in 2.0 s\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ls", "--state", "lost"], "Invalid value for '--state': 'lost' is not one of 'queued'"),
        (["ls", "--limit", "9" * 30], "less than or equal to 1000000000"),
        (["submit", "Hello", "--follow", "--wait"], "Give either --follow or --wait."),
        (["ls", "--agent", "\udcff"], "An argument is not UTF-8."),
        (["submit", "--file", "/no/such/file"], "The text of /no/such/file cannot be read: no such file or directory."),
        (["submit", "Hello", "--idempotency-key", "ü"], "has characters that HTTP does not carry"),
    ],
)
def test_wrong_arguments_are_told_in_words(arguments: list[str], told: str) -> None:
    terminal = in_pipe()
    assert execute(arguments, terminal) == 2
    assert told in written(terminal.stderr)
    assert ".." not in written(terminal.stderr)


class Broken(StringIO):
    """A stream whose other end has failed."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise self.error


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), FULL], ids=["closed", "full"])
def test_a_command_ends_well_without_a_reader_of_its_progress(error: OSError) -> None:
    assert execute(["completion", "bash"], Terminal(StringIO(), shown := StringIO(), Broken(error))) == 0
    assert "agentq" in shown.getvalue()
    assert execute(["submit", "--json"], Terminal(StringIO(), StringIO(), Broken(error))) == 2


def test_output_that_cannot_be_written_is_a_failure() -> None:
    errors = StringIO()
    assert execute(["completion", "bash"], Terminal(StringIO(), Broken(FULL), errors)) == 1
    assert errors.getvalue() == "The output cannot be written: No space left on device. Try: df -h\n"
    closed = Broken(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert execute(["completion", "bash"], Terminal(StringIO(), closed, StringIO())) == 141


def test_the_help_on_a_full_disk_leaves_no_trace() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "app.cli", "--help"]
        done = subprocess.run(command, cwd=ROOT, env={}, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "The output cannot be written: No space left on device. Try: df -h\n")


def test_a_report_reaches_a_terminal_without_controls() -> None:
    found = report([error_of(FindingCode.AGENT_FAILED, HOSTILE, "agentq doctor")], [], checks=1)
    for terminal in (on_screen(80, NO_COLOR="1"), in_pipe()):
        doctor.show(found, terminal)
        assert HARMLESS in written(terminal.stdout)
        assert "\x1b[31m" not in written(terminal.stdout)
        assert "\x07" not in written(terminal.stdout)


def test_a_suggested_command_can_be_run_whatever_it_is_given() -> None:
    """The words are those that the shell gives to the command, checked by a shell."""
    place = Place("threads delete", "http://x")
    for given in ("t", "--yes", "a b'c", "\x1b[31m\u202e\n\\'\u00e9", "$(false)"):
        command = place.fix("threads", "delete", "--yes", given=[given])
        assert command.isprintable()
        shown = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], check=True, capture_output=True)
        words = shown.stdout.decode().split("\0")[:-1]
        assert words[0] == "agentq"
        context = parsed(words[1:])
        assert (context.params["thread_id"], context.params["yes"], context.params["url"]) == (given, True, "http://x")


def test_a_text_without_an_end_is_not_read_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "MAX_TEXT", 1_000)
    for name, typed in (("/dev/zero", ""), ("-", "x" * 1_001)):
        errors = StringIO()
        assert execute(["submit", "--file", name], Terminal(StringIO(typed), StringIO(), errors)) == 2
        assert f"The text of {name} has more than 1,000 characters." in errors.getvalue()


def test_a_command_runs_in_a_folder_that_was_deleted(tmp_path: Path) -> None:
    program = f"cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec {sys.executable} -m app.cli completion fish"
    (tmp_path / "gone").mkdir()
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", program], check=False, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
