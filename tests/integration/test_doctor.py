"""The doctor over HTTP and on the command line, with faults that are really there."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from redis import Redis
from redis.exceptions import ResponseError

from app.access.management import KeyManager
from app.access.scopes import AccessScope
from app.cli import doctor as command
from app.cli.main import execute
from app.cli.terminal import Terminal
from app.errors import StoreUnavailable
from app.events.tail import TailItem, WaitingUpdate
from app.models.diagnosis import EngineReading, FindingCode, Resource
from app.observability.doctor.examination import CHECKS
from app.observability.doctor.findings import TITLES
from app.observability.doctor.process_checks import cut_after
from app.observability.recent_streams import StreamEnd
from app.store.ports import Store
from app.store.postgres import diagnosis as of_postgres
from app.store.postgres.store import PostgresStore
from app.store.redis.store import RedisStore
from app.store.sqlite import diagnosis as of_sqlite
from app.store.sqlite.store import SqliteStore
from app.store.sqlite.workers import SqliteLeaseRenewer
from tests import postgres_server, wire
from tests.integration.conftest import API_KEY, Serve
from tests.pages import DOCS, README
from tests.servers import LiveServer, finished_process, free_port, until
from tests.unit.sqlite_tools import connected, opened
from tests.valkey_server import ValkeyServer

PAGE = DOCS / "how-to" / "troubleshoot.md"


async def report_of(server: LiveServer, **headers: str) -> dict[str, Any]:
    """Return the findings of the server."""
    reply = await server.client.get("/doctor", headers=headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def codes_of(report: dict[str, Any]) -> set[str]:
    return {each["code"] for each in report["findings"]}


def test_every_code_has_a_title_a_check_and_a_place_on_the_page_and_none_is_left_over() -> None:
    headings = re.findall(r"^### `(\w+)`$", PAGE.read_text("utf-8"), re.MULTILINE)
    local = {
        FindingCode.SETTING_INVALID,
        FindingCode.SETTING_MISSPELT,
        FindingCode.PORT_TAKEN,
        FindingCode.SERVER_UNREACHABLE,
        FindingCode.DATABASE_UNUSABLE,
    }

    assert sorted(headings) == sorted(FindingCode)
    assert set(TITLES) == set(FindingCode)
    assert {code for check in CHECKS for code in check.codes} | local == set(FindingCode)


def test_every_case_of_the_readme_names_a_code() -> None:
    _, _, section = README.read_text("utf-8").partition("\n## Troubleshooting\n")
    cases = re.findall(r"^- \*\*.*?(?=^- \*\*|^$)", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert len(cases) == 4
    for case in cases:
        linked = re.findall(r"\[`(\w+)`\]\(docs/how-to/troubleshoot\.md#(\w+)\)", case)
        assert linked, case
        assert all(shown == place and shown in set(FindingCode) for shown, place in linked)


async def test_a_healthy_server_has_no_findings(serve: Serve) -> None:
    server = await serve()
    message = await server.submit()
    await server.ended(message["message_id"])
    report = await report_of(server)
    assert (report["healthy"], report["findings"], report["unchecked"]) == (True, [], [])
    assert report["checks"] == len(CHECKS)


async def test_the_server_tells_what_only_the_store_knows(serve: Serve) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1, database_url="memory://")
    await server.submit()
    await server.client.post("/queue/pause")
    report = await report_of(server)
    assert not report["healthy"]
    assert codes_of(report) == {"no_worker", "queue_full", "queue_paused", "store_volatile"}
    severities = [each["severity"] for each in report["findings"]]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert all(each["cure"] and each["docs"].endswith(f"#{each['code']}") for each in report["findings"])


async def test_a_worker_whose_heartbeats_do_not_get_through(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("Away.")

    monkeypatch.setattr(SqliteLeaseRenewer, "beat", fail)
    server = await serve()
    assert "heartbeat_lost" in codes_of(await report_of(server))


async def test_readers_who_leave_are_no_finding_and_a_timeout_on_the_way_is(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    message = await server.submit()
    recent = server.runtime.services.recent_streams
    for _ in range(6):
        async with wire.stream(server.url, message["message_id"]) as stream:
            await stream.until("waiting")
    await until(lambda: len(recent.seconds_of(StreamEnd.LEFT)) == 6, "the readers have left")
    assert "streams_cut" not in codes_of(await report_of(server))
    for seconds in (60.1, 60.0, 59.8, 60.2, 60.3) * 6:
        recent.ended(seconds, StreamEnd.LEFT)
    (finding,) = [each for each in (await report_of(server))["findings"] if each["code"] == "streams_cut"]
    assert "after about 60 s" in finding["detail"]


async def test_streams_that_this_server_breaks_off_are_found(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await serve(worker_concurrency=0)
    message = await server.submit()
    recent = server.runtime.services.recent_streams

    async def fail(*_: object, **__: object) -> AsyncGenerator[TailItem]:
        yield WaitingUpdate(0)
        raise StoreUnavailable("Away.")

    with monkeypatch.context() as patched:
        patched.setattr(server.runtime.streams, "tail", fail)
        for _ in range(5):
            assert "streams_cut" not in codes_of(await report_of(server))
            async with wire.stream(server.url, message["message_id"]) as stream:
                await stream.rest()
    await until(lambda: len(recent.seconds_of(StreamEnd.FAILED)) == 5, "they broke off")
    assert "streams_cut" in codes_of(await report_of(server))
    await server.client.delete(f"/messages/{message['message_id']}")
    for _ in range(6):
        async with wire.stream(server.url, message["message_id"]) as stream:
            await stream.until("cancelled")
    await until(lambda: len(recent.seconds_of(StreamEnd.WHOLE)) == 6, "they were read to the end")
    assert "streams_cut" not in codes_of(await report_of(server))


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        ([60.0] * 4, None),
        ([60.0, 60.5, 59.5, 61.0, 60.0], 60.0),
        ([0.2] * 20, None),
        ([5.0, 20.0, 45.0, 60.0, 60.0, 60.0, 90.0, 300.0], None),
        ([60.0] * 8 + [3.0, 10.0], 60.0),
    ],
)
def test_a_timeout_on_the_way_shows_by_equal_times(left: list[float], expected: float | None) -> None:
    assert cut_after(left) == expected


async def test_a_store_that_is_away_is_a_finding(serve: Serve) -> None:
    with ValkeyServer() as engine:
        server = await serve(database_url=engine.url)
        await until(server.runtime.services.registry.loaded.is_set, "it has started")
        engine.kill()
        report = await report_of(server)
    assert "database_away" in codes_of(report)
    assert {each["check"] for each in report["unchecked"]} >= {"no_worker", "queue_full", "engine_nearly_full"}
    assert "127.0.0.1" not in json.dumps(report["unchecked"]), "texts of the driver name hosts"


async def test_only_the_scope_admin_gets_a_report(serve: Serve) -> None:
    server = await serve(worker_concurrency=0)
    manager = KeyManager(server.runtime.services.store)
    admin = await manager.create("default", "operator", (AccessScope.ADMIN,), None)
    others = [await manager.create("default", each, (each,), None) for each in AccessScope if each != "admin"]
    await until(lambda: server.runtime.services.access._keys.has_keys, "the keys are known")
    for key in others:
        reply = await server.client.get("/doctor", headers={"X-API-Key": key.text})
        assert (reply.status_code, reply.json()["code"]) == (403, "insufficient_scope")
    assert (await server.client.get("/doctor")).status_code == 401
    assert "findings" in await report_of(server, **{"X-API-Key": admin.text})


async def test_a_report_has_no_secrets(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's module fails with the key in its error, and messages carry texts."""
    (tmp_path / "leaky.py").write_text(f"raise RuntimeError('cannot log in with {API_KEY}')")
    monkeypatch.syspath_prepend(tmp_path)
    server = await serve(agents={"leaky": "leaky:graph"}, worker_concurrency=1)
    await server.submit("a private text", agent="leaky", thread_id="a-private-thread")

    async def told() -> dict[str, Any] | None:
        report = await report_of(server)
        return report if "agent_failed" in codes_of(report) else None

    report = json.dumps(await until(told, "it is told"))
    assert "cannot log in with" in report
    for secret in (API_KEY, "a private text", "a-private-thread"):
        assert secret not in report


# The engines


async def read(store: Store, resource: Resource) -> list[EngineReading]:
    return [each for each in await store.read_engine() if each.resource is resource]


async def test_a_wal_that_a_reader_keeps_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queue.db"
    async with opened(path) as store:
        monkeypatch.setattr(of_sqlite, "LARGE_WAL_BYTES", 6 * 1024 * 1024)
        (log,) = await read(store, Resource.LOG)
        assert log.used < log.limit
        with connected(path) as reader, connected(path) as writer:
            reader.execute("BEGIN; SELECT count(*) FROM messages")
            writer.execute("CREATE TABLE filler (text TEXT)")
            for _ in range(8):
                writer.execute("INSERT INTO filler VALUES (zeroblob(1048576))")
                writer.execute("DELETE FROM filler")
            (log,) = await read(store, Resource.LOG)
        assert log.used > log.limit
        assert log.subject.endswith("queue.db-wal")


async def test_a_full_disk_of_the_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "queue.db") as store:
        disk = shutil.disk_usage(tmp_path)
        (space,) = await read(store, Resource.SPACE)
        assert (space.limit, str(tmp_path) in space.subject) == (disk.total, True)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(total=100, free=2))
        (space,) = await read(store, Resource.SPACE)
        assert (space.limit, space.used) == (100, 98)


@contextmanager
def replication_slot() -> Iterator[None]:
    server = postgres_server.shared_server()
    server.execute("SELECT pg_create_physical_replication_slot('forgotten', true)")
    try:
        yield
    finally:
        server.execute("SELECT pg_drop_replication_slot('forgotten')")


async def test_postgresql_tells_of_slots_transactions_connections_and_its_disk(tmp_path: Path) -> None:
    url = postgres_server.database_of(tmp_path)
    store = PostgresStore(url, allow_volatile=True)
    await store.open()
    try:
        (connections,) = await read(store, Resource.CONNECTIONS)
        assert (0 < connections.used < connections.limit, connections.limit) == (True, 200)
        assert await read(store, Resource.LOG) == []
        (space,) = await read(store, Resource.SPACE)
        assert space.limit == shutil.disk_usage(space.subject.removeprefix("the disk of ")).total
        with replication_slot(), psycopg.connect(url) as idle:
            pid = idle.execute("SELECT pg_backend_pid(), txid_current()").fetchone()[0]  # type: ignore[index]  # a row
            postgres_server.shared_server().execute("SELECT pg_switch_wal()")
            (log,) = await read(store, Resource.LOG)
            transactions = await read(store, Resource.TRANSACTION)
        assert "forgotten" in log.subject
        assert log.used > 0
        assert [(str(pid) in each.cure, each.limit) for each in transactions] == [
            (True, of_postgres.LONG_TRANSACTION_SECONDS)
        ]
    finally:
        await store.close()


async def test_redis_tells_of_its_memory_and_of_a_file_that_it_cannot_rewrite(tmp_path: Path) -> None:
    with ValkeyServer() as server, Redis.from_url(server.url) as admin:
        store = RedisStore(server.url)
        await store.open()
        try:
            admin.config_set("maxmemory", admin.info("memory")["used_memory"] + 1024 * 1024)
            (space,) = await read(store, Resource.SPACE)
            assert space.limit - space.used <= 1024 * 1024
            assert (await read(store, Resource.LOG))[0].fault == ""
            folder = Path(admin.config_get("dir")["dir"], admin.config_get("appenddirname")["appenddirname"])
            shutil.rmtree(folder)
            await asyncio.to_thread(folder.write_text, "a file where the folder was")
            with suppress(ResponseError):
                admin.execute_command("BGREWRITEAOF")

            async def failing() -> bool:
                return bool((await read(store, Resource.LOG))[0].fault)

            await until(failing, "the rewrite has failed")
        finally:
            await store.close()


# The command


async def doctor(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"PORT": str(free_port()), "HOST": "127.0.0.1", **environment}
    return await asyncio.to_thread(finished_process, folder, "app.cli", "doctor", *arguments, **settings)


async def examined(folder: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the report."""
    ended = await doctor(folder, "--json", *arguments, **environment)
    return ended.returncode, json.loads(ended.stdout)


async def test_the_command_reads_the_database_when_no_server_runs(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    environment = {"DATABASE_URL": f"sqlite:///{path}"}
    code, report = await examined(tmp_path, **environment)
    assert (code, [each["check"] for each in report["unchecked"]]) == (0, ["database"])
    assert not path.exists(), "the doctor makes no database"
    store = SqliteStore(path)
    await store.open()
    await store.pause(paused=True)
    await store.close()
    ended = await doctor(tmp_path, **environment)
    assert ended.returncode == 0
    assert "warning  queue_paused  The queue is paused" in ended.stdout
    assert "$ curl -X POST http://localhost:" in ended.stdout
    assert "server_unreachable" in ended.stdout
    assert "\x1b" not in ended.stdout, "no colours in a pipe"


async def test_the_command_asks_the_server_for_what_only_it_knows(serve: Serve, tmp_path: Path) -> None:
    server = await serve(worker_concurrency=0, max_queue_size=1)
    await server.submit()
    settings = {"DATABASE_URL": server.runtime.settings.database_url, "PORT": server.url.rpartition(":")[2]}
    code, report = await examined(tmp_path, MAX_QUEUE_SIZE="1", **settings)
    assert (code, codes_of(report)) == (1, {"no_worker", "queue_full"})
    key = await KeyManager(server.runtime.services.store).create("default", "op", (AccessScope.ADMIN,), None)
    await until(lambda: server.runtime.services.access._keys.has_keys, "the key is known")
    _, refused = await examined(tmp_path, **settings)
    assert "server_unreachable" in codes_of(refused)
    file = tmp_path / "key"
    file.write_text(key.text)
    for given in ({"AGENTQ_API_KEY": key.text}, {"AGENT_QUEUE_API_KEY": key.text}, {}):
        arguments = () if given else ("--api-key-file", str(file))
        _, allowed = await examined(tmp_path, *arguments, **given, **settings)
        assert "server_unreachable" not in codes_of(allowed)


async def test_the_command_names_faults_of_the_start(tmp_path: Path) -> None:
    """Each is what `Cannot start.` would say, as a finding."""
    foreign = tmp_path / "foreign.db"
    with connected(foreign) as connection:
        connection.execute("CREATE TABLE notes (text)")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database at all" * 100)
    wanted = {
        "setting_invalid": {"MAX_QUEUE_SIZE": "many"},
        "database_unusable": {"DATABASE_URL": f"sqlite:///{foreign}"},
        "database_away": {"DATABASE_URL": f"redis://127.0.0.1:{free_port()}"},
    }
    for code, environment in [*wanted.items(), ("database_unusable", {"DATABASE_URL": f"sqlite:///{damaged}"})]:
        exit_code, report = await examined(tmp_path, **environment)
        assert (exit_code, code in codes_of(report)) == (1, True), report
    _, report = await examined(tmp_path, DATABASE_URL="redys://user@host")
    (unusable,) = [each for each in report["findings"] if each["code"] == "database_unusable"]
    assert "sqlite" not in unusable["cure"], "an empty file would be another queue beside the one that is meant"
    (tmp_path / ".env").write_text("MAX_QUEU_SIZE=5\n")
    _, report = await examined(tmp_path)
    assert "setting_misspelt" in codes_of(report)


async def test_the_command_finds_another_program_on_the_port(tmp_path: Path) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, family=socket.AF_INET) as other:
        port = other.sockets[0].getsockname()[1]
        code, report = await examined(tmp_path, PORT=str(port), DATABASE_URL="memory://")
    assert (code, codes_of(report)) == (1, {"port_taken", "store_volatile"})


async def test_an_examination_that_cannot_be_made_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    ended = await doctor(tmp_path, "--url", "no address")
    assert ended.returncode == 2
    assert "expected the address of a server, such as http://localhost:8000" in ended.stderr


def test_an_examination_that_fails_is_told_as_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "load_settings", lambda: 1 / 0)
    terminal = Terminal(StringIO(), StringIO(), errors := StringIO())
    assert execute(["doctor", "--json"], terminal) == 2
    told = json.loads(errors.getvalue())
    assert (told["code"], told["fix"]) == ("examination_failed", "agentq doctor --debug")
    assert "could not be made. ZeroDivisionError" in told["message"]
