"""Shows settings without their secrets."""

import json
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from .settings import Settings

MASK = "***"

HIDDEN = frozenset({"jwt_public_key"})
"""Settings that are never shown, beside those of the type SecretStr. A PEM text may have a private key too."""

SettingValue = bool | int | float | str | list[str] | dict[str, str] | None


class SettingSource(StrEnum):
    """Where the value of a setting comes from. `file` is the file `.env`."""

    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class ShownSetting(NamedTuple):
    """A setting by the name of its variable. `masked` tells whether the value lacks a part that may be secret.

    `differs` tells whether the value is another than `default`. `meaning` is a sentence or two.
    """

    name: str
    value: SettingValue
    masked: bool
    source: SettingSource
    default: SettingValue
    differs: bool
    meaning: str


def shown_settings(settings: Settings) -> list[ShownSetting]:
    """Return all settings in their order."""
    return [_shown(name, settings) for name in Settings.model_fields]


@cache
def _meanings() -> dict[str, str]:
    """Return what each setting means, by the name of its variable. The comments of `.env.example` are the source."""
    found: dict[str, str] = json.loads(files(__package__).joinpath("meanings.json").read_text("utf-8"))
    return found


def _shown(name: str, settings: Settings) -> ShownSetting:
    value = getattr(settings, name)
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    shown, masked = _without_secrets(name, value)
    return ShownSetting(
        name.upper(),
        shown,
        masked,
        _source(name, settings),
        _without_secrets(name, default)[0],
        value != default,
        _meanings()[name.upper()],
    )


def _source(name: str, settings: Settings) -> SettingSource:
    if name not in settings.model_fields_set:
        return SettingSource.DEFAULT
    return SettingSource.FILE if name in settings.names_of_file else SettingSource.ENVIRONMENT


def _without_secrets(name: str, value: object) -> tuple[SettingValue, bool]:
    """Return the value to show, and whether it lacks a part that may be secret."""
    if value is None:
        return None, False
    if isinstance(value, SecretStr) or name in HIDDEN:
        return MASK, True
    plain = _plain(value)
    if isinstance(plain, list):
        shown: SettingValue = [without_secrets(each) for each in plain]
    elif isinstance(plain, dict):
        shown = {key: without_secrets(each) for key, each in plain.items()}
    elif not isinstance(plain, str):
        shown = plain
    elif name.endswith("_url") and "://" not in plain:
        shown = MASK  # a list of name=value pairs, which may have a password anywhere
    else:
        shown = without_secrets(plain)
    return shown, shown != plain


def _plain(value: object) -> bool | int | float | str | list[str] | dict[str, str]:
    """Return a value of a setting as JSON has it."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): str(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return list(map(str, value))
    raise TypeError(f"settings of type {type(value).__name__} cannot be shown")


def without_secrets(text: str) -> str:
    """Return a text without what may be secret in a URL: the user and password, values of the query, the fragment.

    Texts without `://` are returned as they are.
    """
    scheme, found, rest = text.partition("://")
    if not found:
        return text
    place, fragment, _ = rest.partition("#")
    place, question, query = place.partition("?")
    if "@" in rest[len(place) :]:  # a password with one of these characters, or a query with an address
        return f"{scheme}://{MASK}"
    _, at, place = place.rpartition("@")
    names = [name if equals else MASK for name, equals, _ in (each.partition("=") for each in query.split("&"))]
    shown_query = "&".join(name if name == MASK else f"{name}={MASK}" for name in names)
    return f"{scheme}://{MASK + at if at else ''}{place}{question}{shown_query if question else ''}" + (
        f"#{MASK}" if fragment else ""
    )


def place_of(url: str) -> str:
    """Return a database URL for display. For a server, show only its kind, since the rest may have a password."""
    scheme, colon, _ = url.partition("://")
    if not colon:
        return "one without ://"
    return repr(url) if scheme in ("sqlite", "memory") else f"{scheme}://…"
