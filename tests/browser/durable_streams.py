"""Pages that read Durable Streams in a real Chromium, by its EventSource and by a client: `make browsers`."""

from pathlib import Path

import pytest

from tests.browser.agent_chat_ui import AGENTS, FOLDER
from tests.browser.use_chat import build, built, page, used
from tests.servers import server_process

__all__ = ["built", "page"]


@pytest.mark.parametrize("by", ["event-source", "sse", "long-poll"])
async def test_a_page_that_is_cut_and_reloaded_has_no_gap_and_no_double(
    built: Path, page: str, tmp_path: Path, by: str
) -> None:
    build((FOLDER / "durable_streams_page.js").read_text(), built)
    with server_process(tmp_path, CORS_ORIGINS=page, AGENTS=AGENTS) as server:
        await server.ready()
        saw = await used("durable_streams.mjs", page, server.url, by)
    assert saw["errors"] == []
    assert saw["ids"] == saw["stored"] == list(range(1, len(saw["ids"]) + 1))
    assert 3 < saw["counts"][0] < saw["counts"][1] <= saw["began"] < saw["counts"][2] < len(saw["ids"])
