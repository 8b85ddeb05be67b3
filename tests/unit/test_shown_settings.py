"""Settings are shown without secrets, whichever setting has one."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.api.schemas.shown_settings import SettingList
from app.config import Settings, load_settings
from app.models.sharing import FairShare

SECRET = "s3cr3t"
KEY_TEXT = f"sk-{SECRET}"
IN_URLS = (
    f"://user:{SECRET}@host:1/path",
    f"://{SECRET}@host/path",
    f"://u:p/{SECRET}@host/path",
    f"://u:p?{SECRET}@host/path",
    f"://u:p#{SECRET}@host/path",
    f"://u:p@{SECRET}@host/path",
    f"://host/path?password={SECRET}&ssl=1",
    f"://host/path?{SECRET}",
    f"://host/path?user=a@b&password={SECRET}",
    f"://host/path?user=a#{SECRET}@b",
    f"://host/path#{SECRET}",
    f"://host/{KEY_TEXT}",
)
PEM = f"-----BEGIN PUBLIC KEY-----\n{SECRET}"


def shown(name: str, value: Any) -> dict[str, Any]:
    """The view of a setting with this value, which no check of values has seen."""
    settings = Settings.model_construct({name}, **{name: value})
    (view,) = [each for each in SettingList.of(settings).settings if each.name == name.upper()]
    assert view.source == "environment"
    assert SECRET not in view.model_dump_json()
    return view.model_dump()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_no_setting_shows_a_secret(name: str) -> None:
    """Each setting gets a secret in every form that its type takes."""
    kind = str(Settings.model_fields[name].annotation)
    if "SecretStr" in kind or name == "jwt_public_key":
        planted: list[Any] = (
            [Settings(_env_file=None, openai_api_key=SECRET).openai_api_key] if "Sec" in kind else [PEM]
        )
    elif "dict" in kind:
        planted = [{"name": KEY_TEXT}, {KEY_TEXT: "module:graph"}, *({"name": f"x{each}"} for each in IN_URLS)]
    elif "tuple" in kind:
        planted = [(KEY_TEXT,), *((f"x{each}",) for each in IN_URLS)]
    elif "str" in kind or "Path" in kind:
        planted = [KEY_TEXT, *(f"postgresql{each}" for each in IN_URLS)]
        planted += [f"host=db password={SECRET}", SECRET] if name.endswith("_url") else []
    else:
        harmless = ("<class 'int'", "<class 'float'", "<class 'bool'", "int | None", "typing.Lit", "<enum 'FairShare'>")
        assert kind.startswith(harmless), kind
        return
    for value in planted:
        assert shown(name, value)["masked"], value


def test_what_is_no_secret_is_shown_with_its_source() -> None:
    settings = Settings(
        _env_file=None, database_url="postgresql://queue:pw@db:5432/q?sslmode=require", max_attempts=3, agents="a=m:g"
    )

    views = {each.name: each for each in SettingList.of(settings).settings}
    assert list(views) == [name.upper() for name in Settings.model_fields]
    assert views["DATABASE_URL"].value == "postgresql://***@db:5432/q?sslmode=***"
    assert (views["DATABASE_URL"].default, views["DATABASE_URL"].differs) == ("sqlite:///data/agent_queue.db", True)
    assert (views["MAX_ATTEMPTS"].value, views["MAX_ATTEMPTS"].source) == (3, "environment")
    assert not views["MAX_ATTEMPTS"].differs, "a default that is given is still the default"
    assert views["PORT"].model_dump() == {
        "name": "PORT",
        "value": 8000,
        "source": "default",
        "default": 8000,
        "differs": False,
        "meaning": "Port to listen on.",
        "masked": False,
    }
    assert (views["AGENTS"].value, views["AGENTS"].masked) == ({"a": "m:g"}, False)
    assert (views["OPENAI_API_KEY"].value, views["OPENAI_API_KEY"].masked) == (None, False)


def test_settings_tell_whether_the_environment_or_the_file_sets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    env_file = tmp_path / ".env"
    env_file.write_text("PORT=8001\nmax_attempts=5\nLEASE_SECONDS=20\nLOG_FORMAT=\nNOT_OURS=1\n", "utf-8")
    monkeypatch.setenv("LEASE_SECONDS", "40")
    monkeypatch.setenv("MAX_ATTEMPTS", "")
    views = {each.name: each for each in SettingList.of(load_settings(str(env_file))).settings}
    given = {name: (each.value, each.source) for name, each in views.items() if each.source != "default"}
    assert given == {"PORT": (8001, "file"), "MAX_ATTEMPTS": (5, "file"), "LEASE_SECONDS": (40.0, "environment")}


def test_without_variables_nothing_differs_from_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert [each.name for each in SettingList.of(load_settings(None)).settings if each.differs] == []


def test_a_secret_that_is_masked_tells_whether_it_differs() -> None:
    settings = Settings(_env_file=None, openai_api_key=SECRET)
    view = next(each for each in SettingList.of(settings).settings if each.name == "OPENAI_API_KEY")
    assert (view.value, view.default, view.differs, view.masked) == ("***", None, True, True)


def test_shares_of_messages_that_age_are_refused() -> None:
    with pytest.raises(ValidationError, match="PRIORITY_AGING_SECONDS=0"):
        Settings(_env_file=None, priority_aging_seconds=60, fair_share=FairShare.TENANT)
    assert Settings(_env_file=None, priority_aging_seconds=60).priority_aging_seconds == 60
