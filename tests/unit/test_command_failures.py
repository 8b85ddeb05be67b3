"""Commands tell errors once, with the command that helps, and with the exit code of their kind."""

import json
from io import StringIO
from pathlib import Path

import pytest

from app.cli.failures import Place, explain
from app.cli.main import execute
from app.client.errors import ConfigurationError, FieldProblem, InvalidRequest, ServerUnreachable
from tests.unit.test_command_line import in_pipe, written


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


KEYS = ("a\nb", "aq_\u00fc", "\u201caq_1\u201d")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("command", [["ls"], ["chat"], ["top", "--once"]], ids=" ".join)
def test_a_key_that_cannot_be_sent_ends_as_other_wrong_keys(
    command: list[str], key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTQ_API_KEY", key)
    terminal = in_pipe()
    terminal.stdin = StringIO("Hello\n")
    assert execute([*command, "--json"], terminal) == 1
    told = json.loads(written(terminal.stderr).splitlines()[-1])
    assert (told["code"], told["fix"]) == ("invalid_api_key", f"AGENTQ_API_KEY=... agentq {command[0]}")
    assert key not in told["message"]


@pytest.mark.parametrize("key", KEYS)
def test_a_report_without_a_key_that_can_be_sent_says_so(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTQ_API_KEY", key)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/queue.db")
    terminal = in_pipe()
    assert execute(["doctor", "--json"], terminal) in (0, 1)
    findings = {each["code"]: each for each in json.loads(written(terminal.stdout))["findings"]}
    assert findings["server_unreachable"]["cure"] == "AGENTQ_API_KEY=... agentq doctor"
    assert key not in written(terminal.stdout)


def test_the_cure_of_an_unreachable_server_fits_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    unreachable = ServerUnreachable("There is no reply.")
    monkeypatch.delenv("AGENTQ_URL", raising=False)
    fix = explain(unreachable, Place("ls")).fix
    assert fix == "agentq serve  # or, if it runs elsewhere: AGENTQ_URL=... agentq ls"
    assert explain(unreachable, Place("ls", "http://x")).fix == "agentq doctor --url http://x"
    monkeypatch.setenv("AGENTQ_URL", "http://elsewhere")
    assert explain(unreachable, Place("ls")).fix == "agentq doctor", "a server here would be another one"
