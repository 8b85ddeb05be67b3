"""Pages with AG-UI's client in a real Chromium: `make browsers`."""

from pathlib import Path

from tests.browser.agent_chat_ui import AGENTS, FOLDER, PICTURES
from tests.browser.use_chat import build, built, page, used
from tests.servers import server_process

__all__ = ["built", "page"]


async def test_a_page_that_is_cut_reloaded_stopped_and_asked(built: Path, page: str, tmp_path: Path) -> None:
    PICTURES.mkdir(exist_ok=True)
    build((FOLDER / "ag_ui_page.jsx").read_text(), built)
    for name in ("model", "agents"):
        (tmp_path / name).mkdir()
    with (
        server_process(tmp_path / "model", CORS_ORIGINS=page) as model,
        server_process(tmp_path / "agents", CORS_ORIGINS=page, AGENTS=AGENTS) as agents,
    ):
        await model.ready()
        await agents.ready()
        saw = await used("ag_ui.mjs", page, model.url, agents.url, str(PICTURES))
    assert saw["errors"] == []
    asked, answers = saw["talk"]
    assert (len(asked), len(answers)) == (2, 2)
    assert "Paris" in answers[0]
    assert len(saw["cut"]) >= 40
    assert saw["goes_on"]
    assert saw["reloaded"]
    one, other = saw["in_step"]
    assert one == other
    assert saw["grew"]
    assert one.startswith(saw["cut"])
    assert saw["messages"] == [[*asked, "Tell me a long story about a fox, a river and the moon."], 3]
    one, other = saw["tabs"]
    assert one == other == [f"word{number}" for number in range(len(one))]
    assert len(one) >= 15
    assert saw["question"] == "The human said: accept."
    called = 'Let me look.\n\nsearch {"query": "capital of France"}'
    assert saw["tool"] == [[called, "It is **Paris**."], ['{"capital": "Paris"}']]
    assert saw["place"] == "place 0"
    assert saw["words"] == [f"word{number}" for number in range(len(saw["words"]))]
    assert len(saw["words"]) >= 6
    assert len(saw["left"]) < 60
    assert saw["whole"] == [f"word{number}" for number in range(60)]
