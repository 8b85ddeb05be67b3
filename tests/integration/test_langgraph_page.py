"""The example of the page about LangGraph's clients."""

import asyncio
import sys

from tests.openai_stub import StubServer
from tests.pages import DOCS, named
from tests.servers import LiveServer

PAGE = DOCS / "how-to" / "use-langgraph-clients.md"


async def test_the_page_s_client_gets_an_answer(server: LiveServer, model: StubServer) -> None:
    code = named(PAGE, "tested: langgraph client").replace("http://localhost:8000", server.url)
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await client.communicate()
    (message,) = (await server.client.get("/messages")).json()["messages"]
    assert (client.returncode, printed.decode()) == (0, f"{message['result']}\n"), printed.decode()
    assert message["priority"] == "high"
    assert model.text_of_users(0) == ["What is the capital of France?"]
