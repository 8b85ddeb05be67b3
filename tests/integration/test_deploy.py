"""The files for containers and clusters name what exists.

nginx as configured there passes streams on as they come. The steps of the example's Dockerfile give a server with its
graphs.
"""

import asyncio
import contextlib
import os
import re
import shutil
import string
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from app.cli.main import execute
from app.config import Settings
from tests import wire
from tests.graph_control import GraphControl
from tests.servers import DEADLINE_SECONDS, ROOT, ServerProcess, cold_server_process, free_port, server_process, until
from tests.unit.test_command_line import in_pipe

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


COMPOSED = [("compose.yaml", "server"), *(("deploy/compose.yaml", name) for name in AGENT_QUEUE)]


@pytest.mark.parametrize(("file", "name"), COMPOSED)
def test_compose_passes_all_of_env_and_needs_none(file: str, name: str) -> None:
    service = documents(ROOT / file)[0]["services"][name]
    (env_file,) = service["env_file"]
    assert (ROOT / file).parent.joinpath(env_file["path"]).resolve() == ROOT / ".env"
    assert env_file["required"] is False
    environment = service["environment"]
    assert set(environment) <= SETTINGS
    for variable in ("HOST", "PORT", "DATABASE_URL", "CHECKPOINT_URL"):
        assert environment[variable] is not None, "a .env for a server on this host must not reach into the container"
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODEL_NAME"):
        assert (
            environment.get(variable) is None
        ), "an empty text would hide what .env has, and libraries take it for one"
    folder = re.fullmatch(r"\$\{BUILD_CONTEXT:-(.+)\}", service["build"])
    assert folder is not None
    assert (ROOT / file).parent.joinpath(folder[1]).resolve() == ROOT


PROJECT = ROOT / "examples" / "langgraph-project"


def steps_of(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions with their arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", dockerfile.read_text("utf-8"), flags=re.MULTILINE))
    steps = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [(instruction, rest.strip()) for instruction, _, rest in steps]


def built(folder: Path, project: Path = PROJECT) -> Path:
    """The files that a project's Dockerfile puts on top of ours, in a folder. pip only notes what it is to do."""
    ours = dict(step for step in steps_of(ROOT / "Dockerfile") if step[0] == "WORKDIR")
    srv = folder / ours["WORKDIR"].lstrip("/")
    for name in ("srv", "tmp", "project", "bin"):
        (folder / name).mkdir()
    (srv / "app").symlink_to(ROOT / "app")
    pip = folder / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\necho "$@" >> {folder}/pip.log\n[ "$1" = freeze ] && echo langgraph==1\nexit 0\n')
    pip.chmod(0o755)
    ignored = shutil.ignore_patterns(*(project / ".dockerignore").read_text("utf-8").split(), "__pycache__")
    for instruction, argument in steps_of(project / "Dockerfile"):
        if instruction == "COPY":
            source, target = argument.split()
            if (project / source).is_dir():
                shutil.copytree(project / source, folder / target.lstrip("/"), ignore=ignored, dirs_exist_ok=True)
            else:
                shutil.copy(project / source, folder / target.lstrip("/"))
        elif instruction == "RUN":
            inside = re.sub(r"(?<![\w.])/(srv|tmp|project)(?=/)", rf"{folder}/\1", argument)
            environment = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
            subprocess.run(["sh", "-ec", inside], cwd=srv, env=environment, check=True)
    return srv


async def answer_of(server: ServerProcess, agent: str, text: str = "Ada") -> str:
    async with httpx2.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS, trust_env=False) as client:
        body = {"message": text, "agent": agent}
        response = await client.post("/messages", json=body, headers={"Prefer": "wait=30"})
        assert response.status_code == 200, response.text
        return str(response.json()["result"])


async def test_the_dockerfile_of_a_project_gives_a_server_with_its_graphs(tmp_path: Path) -> None:
    steps = steps_of(PROJECT / "Dockerfile")
    assert steps[:2] == [("ARG", "BASE=agent-queue-system"), ("FROM", "${BASE}")]
    assert [argument for instruction, argument in steps if instruction == "USER"] == ["root", "10001"]
    assert ("USER", "10001") in steps_of(ROOT / "Dockerfile")
    srv = built(tmp_path)
    freeze, install = (tmp_path / "pip.log").read_text().splitlines()
    assert freeze == "freeze"
    assert install.endswith(f"-c {tmp_path}/tmp/server.txt -r {tmp_path}/project/requirements.txt")
    assert "langgraph==1" in (tmp_path / "tmp" / "server.txt").read_text()
    # As compose passes a copy of .env.example, in which these are empty.
    passed = {"LANGGRAPH_CONFIG": "", "AGENTS": "", "GREETING": "Hello"}
    with cold_server_process(srv, **passed) as server:
        await server.ready()
        assert await answer_of(server, "greeter") == "Hello, Ada!"
        assert (await answer_of(server, "visitor")).startswith("Hello, Ada! You are in the book of run ")
    assert "its `env` names a file that is not there: .env" in server.output


async def test_the_container_of_a_new_project_answers(tmp_path: Path) -> None:
    """The steps of its Dockerfile are taken in a folder, and its server is started as its compose file starts it."""
    project, image = tmp_path / "new", tmp_path / "image"
    assert execute(["init", str(project), "--agent", "helper"], in_pipe()) == 0
    image.mkdir()
    srv = built(image, project)
    assert not (image / "project" / ".env").exists(), "keys do not get into an image"
    [service] = documents(project / "compose.yaml")[0]["services"].values()
    assert service["build"] == "."
    (env_file,) = service["env_file"]
    passed = dict(line.split("=", 1) for line in (project / env_file["path"]).read_text().splitlines() if "=" in line)
    passed |= service["environment"]
    assert passed.pop("LANGGRAPH_CONFIG") == "/project/langgraph.json"
    assert passed.pop("DATABASE_URL") == f"sqlite:///{service['volumes'][0].partition(':')[2]}/agent_queue.db"
    assert service["ports"] == [f"127.0.0.1:8000:{passed.pop('PORT')}"]
    assert passed.pop("HOST") == "0.0.0.0"
    assert {*passed} - SETTINGS == set()
    inside = {"LANGGRAPH_CONFIG": str(image / "project" / "langgraph.json")}
    with cold_server_process(srv, **passed, **inside) as server:
        await server.ready()
        assert "Paris" in await answer_of(server, "helper", "What is the capital of France?")


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


OF_KUBERNETES = {"v1", "apps/v1", "policy/v1", "networking.k8s.io/v1"}


def test_the_manifests_need_nothing_that_a_cluster_may_not_have() -> None:
    assert {each["apiVersion"] for each in manifests()} <= OF_KUBERNETES
    (scaled,) = documents(DEPLOY / "kubernetes" / "keda.yaml")
    (worker,) = documents(DEPLOY / "kubernetes" / "worker.yaml")
    assert scaled["spec"]["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"], "applying it again would undo what was scaled"
    assert scaled["spec"]["triggers"][0]["metadata"]["valueLocation"] == "total_queued"


@pytest.mark.parametrize(
    "text", [DEPLOY / "kubernetes" / "kustomization.yaml", ROOT / "docs" / "how-to" / "run-many-processes.md"], ids=str
)
def test_what_is_applied_comes_after_its_namespace(text: Path) -> None:
    commands = re.findall(r"kubectl apply -[fk] (\S+)", text.read_text("utf-8"))
    assert commands[:3] == ["deploy/kubernetes/namespace.yaml", "secret.yaml", "deploy/kubernetes"]
    kustomization, *_ = documents(DEPLOY / "kubernetes" / "kustomization.yaml")
    (namespace,) = documents(DEPLOY / "kubernetes" / "namespace.yaml")
    (secret,) = documents(DEPLOY / "kubernetes" / "secret.example.yaml")
    assert namespace["metadata"]["name"] == secret["metadata"]["namespace"] == kustomization["namespace"]


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
                rest = [frame.data.get("type", frame.event) for frame in await stream.rest()]
                assert rest == ["discard", "content", "done"]
            thread = await wire.request(url, "GET", "/threads/a%2Fb")
            assert thread.json()["thread_id"] == "a/b"
