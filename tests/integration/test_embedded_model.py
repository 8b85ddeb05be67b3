"""The model that comes with the packages answers, without a key and without a network."""

from pathlib import Path

import pytest

from tests import wire
from tests.servers import live_server, settings_for


async def test_it_answers_and_remembers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "app")
    async with live_server(settings_for(tmp_path, processing_timeout=120)) as server:
        first = (await server.submit("What is the capital of France?", thread_id="t"))["message_id"]
        async with wire.stream(server.url, first) as stream:
            await stream.until("processing")
            frames = await stream.rest()
        assert "Paris" in frames[-1].data["result"]
        assert wire.text_of(frames) == frames[-1].data["result"]
        assert len([frame for frame in frames if frame.event == "chunk"]) > 1
        (usage,) = [frame.data for frame in frames if frame.event == "usage"]
        assert list(usage["models"]) == ["SmolLM2-135M-Instruct"]
        assert (await server.status(first))["result"] == frames[-1].data["result"]

        second = (await server.submit("And of Japan?", thread_id="t"))["message_id"]
        assert "Tokyo" in (await server.ended(second))["result"]
        assert (await server.client.get("/health")).json()["status"] == "healthy"
    (line,) = [record.getMessage() for record in caplog.records if "embedded model" in record.getMessage()]
    assert "OPENAI_API_KEY" in line
