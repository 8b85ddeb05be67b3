"""The files of the dashboard: where they come from, what they weigh, and how they are served."""

import re
import subprocess
from gzip import compress
from pathlib import Path

import pytest

from app.dashboard.assets import MODULES, STATIC, read_assets
from tests.dashboard.vendored import FOLDER, VENDOR, bring
from tests.node_packages import DEADLINE_SECONDS, installed, program
from tests.servers import live_server, settings_for

MOST_BYTES = 150_000
"""The most that a browser loads to show a screen for the first time, compressed."""

ADDRESS = re.compile(r'"\{assets\}/([^"]+)"')
STATIC_IMPORT = re.compile(r"""(?:^(?:import|export)[^"';]*from |^import )"([^"]+)""", re.MULTILINE)
SCREENS = re.findall(r'load: \(\) => import\("([^"]+)"', (STATIC / "screens.js").read_text())
IMPORT = re.compile(r"""(?:^(?:import|export)[^"';]*from |^import |import\()"([^"]+)""", re.MULTILINE)


def test_the_modules_of_others_are_those_of_the_lock_file(tmp_path: Path) -> None:
    bring(tmp_path / "vendor")
    brought = {path.relative_to(tmp_path / "vendor"): path.read_bytes() for path in (tmp_path / "vendor").rglob("*.*")}
    assert brought == {path.relative_to(VENDOR): path.read_bytes() for path in VENDOR.rglob("*.*")}, "run `make vendor`"


def test_the_modules_have_the_types_that_they_say() -> None:
    installed(FOLDER)
    subprocess.run([program(FOLDER, "tsc"), "-p", "."], cwd=FOLDER, check=True, timeout=DEADLINE_SECONDS)


def test_each_import_names_a_file() -> None:
    for path in STATIC.rglob("*.js"):
        if VENDOR not in path.parents:
            for name in IMPORT.findall(path.read_text()):
                assert (path.parent / name).is_file() if name.startswith(".") else name in MODULES, f"{path}: {name}"
    for name in MODULES.values():
        assert (VENDOR / name).is_file()


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_with_all_that_it_needs_is_small(screen: str) -> None:
    page = STATIC / "index.html"
    begun = [STATIC / name for name in ADDRESS.findall(page.read_text())]
    files = {page, *begun}
    waiting = [*begun, STATIC / screen]
    while waiting:
        file = waiting.pop()
        files.add(file)
        if file.suffix == ".js":
            imported = (
                VENDOR / MODULES[name] if name in MODULES else (file.parent / name).resolve()
                for name in STATIC_IMPORT.findall(file.read_text())
            )
            waiting += [path for path in imported if path not in files]
    assert len(files) > 30
    assert sum(len(compress(path.read_bytes(), 9)) for path in files) <= MOST_BYTES


def test_a_change_of_any_file_gives_all_of_them_new_addresses(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{assets}{import_map}")
    (tmp_path / "a.js").write_text("1")
    first = read_assets(tmp_path).digest
    (tmp_path / "a.js").write_text("2")
    assert read_assets(tmp_path).digest != first


async def test_the_page_and_its_files_are_served_below_any_prefix(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server:
        moved = await server.client.get("/dashboard")
        assert (moved.status_code, moved.headers["location"]) == (308, "dashboard/")
        page = await server.client.get("/dashboard/")
        assert page.headers["cache-control"] == "no-cache"
        policy = page.headers["content-security-policy"]
        for rule in ("default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"):
            assert rule in policy
        assert "unsafe" not in policy
        addresses = re.findall(r'(?:href|src)="([^"]+)"|"(\./[^"]+)"', page.text)
        names = [one or other for one, other in addresses]
        assert len(names) > len(MODULES)
        for name in names:
            assert not name.startswith(("/", "http"))
            if not name.startswith(".."):
                file = await server.client.get(f"/dashboard/{name}")
                assert file.status_code == 200, name
                assert "immutable" in file.headers["cache-control"]
                assert file.headers["content-encoding"] == "gzip"


async def test_other_addresses_below_it_have_nothing(tmp_path: Path) -> None:
    async with live_server(settings_for(tmp_path)) as server:
        digest = read_assets().digest
        for path in ("x", "assets/0000000000000000/main.js", f"assets/{digest}/..%2Fassets.py", f"assets/{digest}/"):
            reply = await server.client.get(f"/dashboard/{path}")
            assert reply.status_code == 404, path
        plain = await server.client.get(f"/dashboard/assets/{digest}/main.js", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.text.startswith("/**")
