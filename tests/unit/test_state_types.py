"""The names in ALLOWED_STATE_TYPES: what they allow, and what is no name."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pydantic
import pytest

from app.config import Settings, load_settings
from app.errors import ConfigurationError
from app.policy.failures import described
from app.policy.state_types import MAX_WARNED, StateTypes, StateTypesRefused, explained, watch_refusals, wrong_names
from tests import state_classes as classes


def names_of(value: str) -> tuple[str, ...]:
    return Settings(_env_file=None, allowed_state_types=value).allowed_state_types


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", ()),
        (" , ", ()),
        ("my_agents", ("my_agents",)),
        ("my.agents:Plan,other:Größe, more ", ("my.agents:Plan", "other:Größe", "more")),
    ],
)
def test_names_are_separated_by_commas(value: str, names: tuple[str, ...]) -> None:
    assert names_of(value) == names


@pytest.mark.parametrize("value", ["my agents", ":Plan", "a:", "a:B:C", "a:B.C", "./agents.py:Plan", "a=b:C d"])
def test_what_is_no_name_is_refused_with_what_is_expected(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_STATE_TYPES", value)
    with pytest.raises(ConfigurationError, match="ALLOWED_STATE_TYPES: expected module:Class or module"):
        load_settings(None)


@pytest.mark.parametrize(
    ("allowed", "name", "found"),
    [
        ("tests.state_classes:Plan", "Plan", classes.Plan),
        ("tests.state_classes:BaseModel", "BaseModel", pydantic.BaseModel),
        ("tests.state_classes", "Weather", classes.Weather),
        ("tests.state_classes", "BaseModel", None),
        ("tests.state_classes", "spring", None),
        ("tests.state_classes:spring", "spring", None),
        ("tests.state_classes:Plan", "Weather", None),
        ("tests", "Plan", None),
        ("Plan", "Plan", None),
    ],
)
def test_a_name_allows_its_class_or_the_classes_that_its_module_defines(allowed: str, name: str, found: Any) -> None:
    assert StateTypes([allowed]).find("tests.state_classes", name) is found


def test_a_module_is_imported_when_it_is_allowed_and_not_otherwise(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "broken_state.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(tmp_path)
    assert StateTypes(["other"]).find("broken_state", "Plan") is None
    assert StateTypes(["broken_state"]).find("broken_state", "Plan") is None
    assert StateTypes(["no.such.module"]).find("no.such.module", "Plan") is None
    assert "broken_state" not in sys.modules


def test_a_module_that_was_loaded_from_a_file_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("graph_of_a_file")
    monkeypatch.setitem(sys.modules, "graph_of_a_file", module)
    plan = type("Plan", (), {"__module__": "graph_of_a_file"})
    monkeypatch.setattr(module, "Plan", plan, raising=False)
    assert StateTypes(["graph_of_a_file"]).find("graph_of_a_file", "Plan") is plan


def test_forged_names_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    types = StateTypes([])
    for number in range(MAX_WARNED + 10):
        types.find("forged\n", f"Class{number}")
    assert len(caplog.records) == MAX_WARNED
    assert "\n" not in caplog.text.removesuffix("\n").replace("\nWARNING", "")


def test_only_errors_of_plain_data_are_explained_and_only_when_a_type_was_refused() -> None:
    refused = watch_refusals()
    assert isinstance(explained(KeyError("a"), refused, described), KeyError)
    StateTypes([]).find("my", "Plan")
    assert refused == {"my:Plan"}
    told = explained(KeyError("a" * 10**6), refused, described)
    assert isinstance(told, StateTypesRefused)
    assert str(told).startswith("Add my:Plan to ALLOWED_STATE_TYPES and restart the worker. ")
    assert len(str(told)) < 2_000
    assert isinstance(explained(OSError("a"), refused, described), OSError)


def test_names_that_allow_nothing_are_told_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaving_state.py").write_text("raise SystemExit('bye')")
    monkeypatch.syspath_prepend(tmp_path)
    names = [
        "tests.state_classes",
        "tests.state_classes:Plan",
        "tests.state_classes.Plan",
        "tests.state_classes:Nope",
        "tests.state_classes:spring",
        "nomodule:Plan",
        "leaving_state:Plan",
        "tests",
    ]
    assert wrong_names(names) == {
        "tests.state_classes.Plan": "a class is named with a colon: tests.state_classes:Plan",
        "tests.state_classes:Nope": "its module has no class of this name at its top level",
        "tests.state_classes:spring": "its module has no class of this name at its top level",
        "nomodule:Plan": "its module cannot be imported (ModuleNotFoundError)",
        "leaving_state:Plan": "its module cannot be imported (SystemExit)",
        "tests": "its module defines no class",
    }
