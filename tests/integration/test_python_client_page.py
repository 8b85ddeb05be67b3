"""The examples of the Python client's pages run as they stand, against a server."""

import asyncio
import contextlib
import io
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.integration.conftest import Serve
from tests.openai_stub import Answer, StubServer
from tests.pages import DOCS, ROOT, named

PAGE = DOCS / "how-to" / "use-the-python-client.md"
README = ROOT / "clients" / "python" / "README.md"
PARIS = "The capital of France is Paris."
ANSWERS = [PARIS, "Lima."]


def run_code(code: str) -> tuple[str, dict[str, Any]]:
    """Return what a program prints, and its names."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(code, "page", "exec"), names)
    return output.getvalue(), names


@pytest.mark.parametrize(
    ("page", "mark", "printed"),
    [
        (README, "tested: python client", [f"{PARIS}\nLima."]),
        (PAGE, "tested: python client", [f"{PARIS}\nLima."]),
        (PAGE, "tested: async python client", ["The capital", "Lima.", "[", "]"]),
        (PAGE, "tested: python events", [f"{PARIS}\nThe answer is: {PARIS}\n"]),
        (PAGE, "tested: python errors", ["unknown_agent ["]),
        (PAGE, "tested: python lists", ["[{'likes': 'pasta'}]\n[]\n0 local\n", "\n200 application/json {"]),
        (PAGE, "tested: python changes", [f"0 messages wait\n{PARIS}\n"]),
    ],
)
async def test_its_examples_run(page: Any, mark: str, printed: list[str], serve: Serve, model: StubServer) -> None:
    model.replies.extend(Answer(text) for text in ANSWERS)
    server = await serve()
    output, _ = await asyncio.to_thread(run_code, named(page, mark).replace("http://localhost:8000", server.url))
    assert [part for part in printed if part not in output] == [], output


def test_its_webhooks_are_checked() -> None:
    code = named(PAGE, "tested: python webhooks")
    secret = code.partition('"whsec_')[2].partition('"')[0]
    body = '{"type": "message.completed", "data": {"message_id": "m1"}}'
    _, names = run_code(code)
    now = time.time()
    signature = Webhook(secret).sign("d1", datetime.fromtimestamp(int(now), UTC), body)
    headers = {"webhook-id": "d1", "webhook-timestamp": str(int(now)), "webhook-signature": signature}
    with contextlib.redirect_stdout(io.StringIO()):
        assert names["receive"](body.encode(), headers) == 204
        assert names["receive"](body.encode() + b" ", headers) == 400
