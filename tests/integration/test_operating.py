"""The page for agents that operate the queue: shapes of output, codes, and commands. `test_pages` runs its steps."""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

from app.cli.failures import Place, explain
from app.client import errors
from app.client.core.replies import Reply, refusal
from app.policy.wait_estimate import WaitingCode
from tests.command_line import is_command
from tests.graph_control import GraphControl
from tests.integration.conftest import Serve
from tests.integration.test_command_line import AGENTS, run
from tests.pages import DOCS, named

PAGE = DOCS / "how-to" / "operate-by-an-ai.md"
STATUS = {
    "message_not_found": 404, "thread_not_found": 404, "invalid_api_key": 401, "insufficient_scope": 403,
    "queue_full": 503, "not_failed": 409, "validation_error": 422,
}  # fmt: skip
"""The statuses of refusals, as errors.md has them."""


def missing(shape: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield the places of a shape that are missing or of another kind in what was found."""
    if isinstance(shape, dict) and isinstance(found, dict):
        for key, value in shape.items():
            yield from missing(value, found[key], f"{path}.{key}") if key in found else [f"{path}.{key}"]
    elif isinstance(shape, list) and isinstance(found, list):
        if shape and not found:
            yield path
        for value in found[:1] if shape else []:
            yield from missing(shape[0], value, f"{path}[0]")
    elif type(shape) is not type(found) and not {type(shape), type(found)} <= {int, float}:
        yield path


def test_a_shape_tells_what_is_missing() -> None:
    shape = {"a": [{"b": 1}], "c": "…", "d": None}
    assert list(missing(shape, {"a": [{"b": 2.5, "x": 1}], "c": "t", "d": None})) == []
    assert list(missing(shape, {"a": [], "c": 1})) == [".a", ".c", ".d"]
    assert list(missing(shape, {"a": [{}], "c": "t", "d": None})) == [".a[0].b"]


async def test_commands_print_the_shapes_of_the_page(serve: Serve, control: GraphControl) -> None:
    server = await serve(agents=AGENTS, max_attempts=1)
    failed = (await server.submit(agent="failing"))["message_id"]
    await server.ended(failed)
    await run(server, "queue", "pause")
    waiting = (await server.submit(agent="steps"))["message_id"]
    commands = {
        "sample: shape of top --json": ("top", "--json"),
        "sample: shape of doctor --json": ("doctor", "--json"),
        "sample: shape of dead-letters groups --json": ("dead-letters", "groups", "--json"),
        "sample: shape of status FAILED --json": ("status", failed, "--json"),
        "sample: shape of status WAITING --json": ("status", waiting, "--json"),
    }
    for mark, arguments in commands.items():
        [printed] = (await run(server, *arguments)).records
        assert list(missing(json.loads(named(PAGE, mark)), printed)) == [], mark


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with this heading."""
    table = PAGE.read_text("utf-8").partition(heading)[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def error_of(code: str) -> Exception:
    """Return the error of the client with this code."""
    of_message: dict[str, Any] = {"message_id": "ID"}
    made: dict[str, Exception] = {
        "wait_timeout": errors.WaitTimeout("", **of_message),
        "stream_lost": errors.StreamLost("", **of_message, last_event_id=None, text=""),
        "message_cancelled": errors.MessageCancelled("", **of_message),
        "message_interrupted": errors.MessageInterrupted("", **of_message, questions=()),
        "agent_error": errors.MessageFailed("", **of_message, code=code),
        "server_unreachable": errors.ServerUnreachable("", maybe_done=False),
    }
    if code in made:
        return made[code]
    problem = json.dumps({"code": code, "detail": "No.", "status": STATUS[code]}).encode()
    return refusal(Reply(STATUS[code], {"content-type": "application/problem+json"}, problem), "GET", "/messages")


@pytest.mark.parametrize("row", rows("| `code` | `fix` | Meaning |"), ids=lambda row: row[0])
def test_each_code_has_the_fix_of_the_page(row: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, fix = (cell.strip("`") for cell in row[:2])
    monkeypatch.delenv("AGENTQ_URL", raising=False)
    if row[2].endswith("at `AGENTQ_URL`"):
        monkeypatch.setenv("AGENTQ_URL", "http://elsewhere")
    failure = explain(error_of(code), Place("status"))
    assert (failure.code, failure.fix) == (code, fix)


def test_the_page_knows_every_reason_to_wait() -> None:
    told = {code for row in rows("| `waiting_reason.code` | Do |") for code in re.findall(r"`(\w+)`", row[0])}
    assert told == {code.value for code in WaitingCode}


def test_the_page_sorts_commands_that_exist() -> None:
    told = " ".join(cell for row in rows("| Alone | Ask a person first |") for cell in row)
    commands = [shlex.split(code) for code in re.findall(r"`([^`]+)`", told)]
    assert len(commands) > 15
    for program, *words in commands:
        assert program == "agentq"
        assert is_command([*words, "--help"]), words
