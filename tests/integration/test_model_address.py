"""Where the model of the built-in agent is: what the log of a start and a failed message say of it."""

from pathlib import Path

import httpx2

from tests.servers import free_port, server_process


async def test_the_start_tells_the_model_and_its_address_and_so_does_a_failure(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "OPENAI_BASE_URL": f"http://root:hunter2@127.0.0.1:{port}/v1?token=hunter3",
        "OPENAI_API_KEY": "sk-canary-7f3a9c",
        "MODEL_NAME": "small-model",
    }
    with server_process(tmp_path, **environment) as server:
        await server.ready()
        assert f"Answering with the model small-model at http://127.0.0.1:{port}/v1\n" in server.output
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=60) as client:
            body = {"message": "Hello", "max_attempts": 1}
            status = (await client.post("/messages", json=body, headers={"Prefer": "wait=30"})).json()
            assert status["state"] == "failed"
            assert status["error"] == f"OpenAIConnectionError: Connection error. (asked at 127.0.0.1:{port})"
            (failure,) = [line for line in server.output.splitlines() if "asked at" in line]
            assert f"127.0.0.1:{port}" in failure
        for secret in ("hunter2", "hunter3", "sk-canary"):
            assert secret not in server.output
