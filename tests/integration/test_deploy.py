"""The files in `deploy/`: they name what exists, and nginx as configured there passes streams on as they come."""

import asyncio
import contextlib
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings
from tests import wire
from tests.graph_control import GraphControl
from tests.servers import ROOT, free_port, server_process, until

DEPLOY = ROOT / "deploy"
SETTINGS = {name.upper() for name in Settings.model_fields}
AGENT_QUEUE = ("api-1", "api-2", "worker-1", "worker-2")


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def manifests() -> Iterator[dict[str, Any]]:
    kustomization = documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]
    for name in [*kustomization["resources"], "secret.example.yaml"]:
        yield from documents(DEPLOY / "kubernetes" / name)


def test_compose_has_two_of_each_and_sets_what_exists() -> None:
    services = documents(DEPLOY / "compose.yaml")[0]["services"]
    assert {*AGENT_QUEUE, "nginx", "postgres", "redis"} == set(services)
    for name in AGENT_QUEUE:
        assert set(services[name]["environment"]) <= SETTINGS
        assert "ports" not in services[name], "only nginx may be reached from outside"
    assert all(services[name]["environment"]["WORKER_CONCURRENCY"] == "0" for name in ("api-1", "api-2"))
    assert all(services[name]["command"][-1] == "app.worker" for name in ("worker-1", "worker-2"))
    assert services["nginx"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_manifests_set_what_exists_and_leave_time_to_drain() -> None:
    found = list(manifests())
    config = next(each for each in found if each["kind"] == "ConfigMap")["data"]
    secret = next(each for each in found if each["kind"] == "Secret")["stringData"]
    assert set(config) | set(secret) <= SETTINGS
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found if each["kind"] == "Deployment"
    }
    assert set(pods) == {"agent-queue-api", "agent-queue-worker"}
    for pod in pods.values():
        assert {entry["name"] for container in pod["containers"] for entry in container["env"]} <= SETTINGS
    assert pods["agent-queue-worker"]["terminationGracePeriodSeconds"] > float(config["SHUTDOWN_GRACE_SECONDS"]) + 5
    scaled = next(each for each in found if each["kind"] == "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["valueLocation"] == "total_queued"


@contextlib.contextmanager
def nginx(folder: Path, **upstreams: str) -> Iterator[str]:
    """The real server with the configuration of `deploy`; its URL."""
    port = free_port()
    template = string.Template((DEPLOY / "nginx.conf").read_text("utf-8"))
    text = template.safe_substitute(upstreams, RESOLVER="", LISTEN=f"127.0.0.1:{port}")
    (folder / "nginx.conf").write_text(f"pid {folder}/nginx.pid; daemon off; error_log stderr;\n{text}")
    process = subprocess.Popen(["nginx", "-p", folder, "-c", "nginx.conf"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
async def test_nginx_passes_tokens_on_at_once_and_paths_as_they_are(tmp_path: Path) -> None:
    control = GraphControl(tmp_path)
    control.hold("second")
    settings = {"ALLOW_ANONYMOUS": "true", "AGENTS": "steps=tests.graphs:steps"}
    with (
        server_process(tmp_path, **settings, **control.environment) as one,
        server_process(tmp_path, **settings, WORKER_CONCURRENCY="0") as other,
    ):
        await asyncio.gather(one.ready(), other.ready())
        with nginx(tmp_path, API_1=one.url[7:], API_2=other.url[7:]) as url:

            async def answers() -> bool:
                try:
                    return (await wire.request(url, "GET", "/health/ready")).status == 200
                except OSError:
                    return False

            await until(answers, "nginx answers")
            sent = await wire.request(
                url,
                "POST",
                "/messages",
                headers={"Content-Type": "application/json"},
                body=b'{"message": "Hi", "thread_id": "a/b"}',
            )
            message_id = sent.json()["message_id"]
            async with wire.stream(url, message_id) as stream:
                first = await stream.until("chunk")
                assert first.data["chunk"] == "Step one. ", "told while the graph is held before its second step"
                control.release("second")
                assert [frame.event for frame in await stream.rest()] == ["chunk", "done"]
            thread = await wire.request(url, "GET", "/threads/a%2Fb")
            assert thread.json()["thread_id"] == "a/b"
