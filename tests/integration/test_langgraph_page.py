"""The example of the page about LangGraph's clients."""

import asyncio
import sys

import pytest

from tests.openai_stub import StubServer
from tests.pages import DOCS, named
from tests.servers import LiveServer

PAGE = DOCS / "how-to" / "use-langgraph-clients.md"


@pytest.mark.parametrize("example", ["tested: langgraph client", "tested: langgraph thread stream"])
async def test_the_page_s_client_gets_an_answer(server: LiveServer, model: StubServer, example: str) -> None:
    code = named(PAGE, example).replace("http://localhost:8000", server.url)
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await client.communicate()
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert (client.returncode, printed.decode().strip()) == (0, message["result"]), printed.decode()
    assert message["priority"] == ("high" if "priority" in code else "normal")
    assert model.text_of_users(0) == ["What is the capital of France?"]
