"""Reads the settings from the environment and from `.env`, and finds what is wrong there."""

import os
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic import ValidationError

from ..errors import ConfigurationError
from .display import place_of
from .settings import PLACEHOLDER_KEY, Settings

NEAR = 0.75
"""Names in `.env` with at least this similarity to a setting (0 to 1, by difflib) seem misspelt."""

NAMES_OF_OPENAI = frozenset(("OPENAI_API_BASE", "OPENAI_API_TYPE", "OPENAI_API_VERSION"))
"""Variables that LangChain's client for OpenAI and Azure reads. Graphs may need them."""


def load_settings(env_file: str | None = ".env") -> Settings:
    """Return the settings of this process. Raises ConfigurationError with variable, expected form and given value."""
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(dict(e)) for e in error.errors())) from None
    if env_file is not None and Path(env_file).is_file():
        in_environment = {name.lower() for name, value in os.environ.items() if value}
        in_file = {name.lower() for name, value in dotenv_values(env_file).items() if value}
        settings.note_file(in_file - in_environment)
    return settings


def misspelt_settings(env_file: str = ".env") -> dict[str, str]:
    """Return the names in `.env` that seem to be misspelt settings, each with the nearest setting.

    Leave out names that end in a setting's name, such as `AZURE_OPENAI_API_KEY`: graphs may read them.
    """
    found = dotenv_values(env_file) if Path(env_file).is_file() else {}
    settings = [name.upper() for name in Settings.model_fields]
    guesses: dict[str, str] = {}
    for name in found:
        written = name.upper()
        if written in {*settings, *NAMES_OF_OPENAI} or written.endswith(tuple(f"_{each}" for each in settings)):
            continue
        begun = [each for each in settings if each.startswith(f"{written}_")]
        near = begun if len(begun) == 1 else get_close_matches(written, settings, n=1, cutoff=NEAR)
        if near:
            guesses[name] = near[0]
    return guesses


def share_environment(settings: Settings, env_file: str = ".env") -> None:
    """Copy the variables of `.env` and of the langgraph.json into the process's environment, for the graphs.

    Existing variables have precedence, then the langgraph.json, then `.env`. Raises ConfigurationError.
    """
    found = dotenv_values(env_file) if Path(env_file).is_file() else {}
    ours = {name: value for name, value in found.items() if value and value != PLACEHOLDER_KEY}
    for name, value in {**ours, **settings.project.environment}.items():
        if not os.environ.get(name):  # an empty value counts as none
            os.environ[name] = value


def _explain(error: dict[str, object]) -> str:
    """Return one line that explains a validation error, without the value of a secret."""
    message = str(error["msg"]).removeprefix("Value error, ")
    location = error["loc"]
    if not isinstance(location, tuple) or not location:
        return message
    given = os.environ.get(name := str(location[0]).upper(), error["input"])
    shown = place_of(str(given)) if name.endswith("_URL") and "@" in str(given) else repr(given)
    if "KEY" in name or "SECRET" in name:
        shown = "a value that is not shown"
    return f"{name}: {message[0].lower()}{message[1:]}, got {shown}"
