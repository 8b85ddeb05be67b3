"""Reads settings from the environment and from `.env`. Each process loads its own instance."""

import base64
import binascii
import ipaddress
import os
import re
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import ConfigurationError
from .project import AGENT_VERSION, Project, read_project
from .text import is_http_url

DEFAULT_MODEL_NAME = "gpt-4"
EMBEDDED_MODEL_NAME = "embedded"
PLACEHOLDER_KEY = "your-openai-api-key-here"
SIGNING_PREFIX = "whsec_"
MAX_KEEPALIVE_SECONDS = 15.0
"""Longest time without data on a stream, whatever the settings: proxies close silent connections."""

JWT_ALGORITHMS = frozenset((*(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA"))
"""Algorithms with a public key. The others would let whoever knows the public key sign tokens, or nobody need a key."""

CHECKPOINT_HISTORY = 20
"""How many ended turns of a conversation keep a state to continue from."""

SQLITE_IN_MEMORY = re.compile(r"sqlite:/*(?:file:)?:memory:(?:\?.*)?", re.IGNORECASE)
"""Other spellings of `memory://`, from SQLite and SQLAlchemy."""

_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")

Seconds = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
AgentPaths = Annotated[dict[str, str], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]
TYPE_NAME = re.compile(r"[^\s:,/]+(?::[^\s:,./]+)?")

_OWN_KEYS = ("thread_id", "run_id", "subject")
_OWN_KEY_BEGINNINGS = ("__", "checkpoint")
"""Keys of LangGraph's `configurable` that messages cannot set."""

NEAR = 0.75
"""Names in `.env` with at least this similarity to a setting (0 to 1, by difflib) seem misspelt."""

NAMES_OF_OPENAI = frozenset(("OPENAI_API_BASE", "OPENAI_API_TYPE", "OPENAI_API_VERSION"))
"""Variables that LangChain's client for OpenAI and Azure reads. Graphs may need them."""


class Settings(BaseSettings):
    """All settings. Each comes from the variable with its field's name in capitals. See docs/reference/settings.md."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    model_name: str = DEFAULT_MODEL_NAME
    max_queue_size: int = Field(1000, ge=1)
    max_queue_size_per_tenant: int | None = Field(None, ge=1)
    processing_timeout: Seconds = 60
    max_attempts: int = Field(3, ge=1)
    retry_base_seconds: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = 2
    retry_max_seconds: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = 300
    keepalive_interval: Seconds = 30
    host: str = "0.0.0.0"  # noqa: S104  the specification's default; without keys only this host is served
    port: int = Field(8000, ge=0, le=65535)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"

    database_url: str = "sqlite:///data/agent_queue.db"
    checkpoint_url: str | None = None
    agents: AgentPaths = Field(default_factory=dict)
    langgraph_config: Path | None = None
    agent_version: str | None = None
    version_wait_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = 60
    allowed_state_types: Names = ()
    checkpoint_history: int = Field(CHECKPOINT_HISTORY, ge=1)
    configurable_keys: Names = ()
    worker_concurrency: int = Field(1, ge=0, le=1000)
    max_abandoned: int = Field(64, ge=1)
    lease_seconds: Seconds = 30
    startup_timeout_seconds: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = 60
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = 25
    priority_aging_seconds: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] = 0
    retention_days: Seconds = 30
    stats_retention_days: Seconds = 90
    event_retention_hours: Seconds = 24
    usage_retention_days: Seconds = 400
    prices: Path | None = None
    interrupt_ttl_hours: Annotated[float, Field(gt=0, le=10**6, allow_inf_nan=False)] = 72
    webhook_secret: SecretStr | None = None
    webhook_allow_private: bool = False
    max_connections: int = Field(20_000, ge=1)
    max_body_bytes: int = Field(1024 * 1024, ge=1024)
    max_output_bytes: int = Field(1024 * 1024, ge=1024)
    allow_anonymous: bool = False
    cors_origins: Names = ()
    trusted_proxies: Names = ()
    jwt_jwks_url: str | None = None
    jwt_public_key: str | None = Field(None, validate_default=True)
    jwt_issuer: str | None = Field(None, validate_default=True)
    jwt_audience: str | None = Field(None, validate_default=True)
    jwt_algorithms: Names = ("RS256", "ES256", "EdDSA")
    jwt_tenant_claim: str | None = None
    jwt_subject_claim: str = "sub"
    jwt_scopes_claim: str = "scope"
    session_idle_minutes: Annotated[float, Field(ge=1, le=1_440, allow_inf_nan=False)] = 30
    session_hours: Annotated[float, Field(ge=0.1, le=24, allow_inf_nan=False)] = 8
    allow_volatile: bool = False
    metrics: bool = True
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(None, ge=1, le=65535)
    prometheus_multiproc_dir: Path | None = None
    log_format: Literal["text", "json"] = "text"
    log_config: Path | None = None

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("database_url", "checkpoint_url", mode="after")
    @classmethod
    def _one_name_for_memory(cls, value: str | None) -> str | None:
        return "memory://" if value is not None and SQLITE_IN_MEMORY.fullmatch(value) else value

    @field_validator("agent_version", mode="after")
    @classmethod
    def _is_version(cls, value: str | None) -> str | None:
        if value is not None and not AGENT_VERSION.fullmatch(value):
            raise ValueError("expected 1 to 100 printable ASCII characters without spaces")
        return value

    @field_validator("openai_base_url", mode="after")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        if value is not None and not is_http_url(value):
            raise ValueError("expected http:// or https:// with a host, such as http://localhost:11434/v1")
        return value

    @field_validator("openai_api_key", mode="after")
    @classmethod
    def _no_placeholder(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is not None and value.get_secret_value() == PLACEHOLDER_KEY else value

    @field_validator("webhook_secret", mode="after")
    @classmethod
    def _secrets_of_webhooks(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            signing_keys(value.get_secret_value())
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        origins = value.replace(",", " ").split() if isinstance(value, str) else value
        return tuple(dict.fromkeys(map(_checked_origin, origins))) if isinstance(origins, list | tuple) else origins

    @field_validator("jwt_jwks_url", mode="after")
    @classmethod
    def _is_jwks_url(cls, value: str | None) -> str | None:
        if value is not None and not is_http_url(value):
            raise ValueError("expected https:// or http:// with a host")
        return value

    @field_validator("jwt_public_key", mode="after")
    @classmethod
    def _is_public_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if info.data.get("jwt_jwks_url") is not None:
            raise ValueError("expected either JWT_JWKS_URL or JWT_PUBLIC_KEY, not both")
        key = value.replace("\\n", "\n")
        if not key.lstrip().startswith("-----BEGIN PUBLIC KEY-----"):
            raise ValueError("expected a public key in PEM: -----BEGIN PUBLIC KEY-----")
        return key

    @field_validator("jwt_issuer", "jwt_audience", mode="after")
    @classmethod
    def _is_given(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and (info.data.get("jwt_jwks_url") or info.data.get("jwt_public_key")):
            raise ValueError("expected a value, since JWT_JWKS_URL or JWT_PUBLIC_KEY is set")
        return value

    @field_validator("jwt_algorithms", mode="before")
    @classmethod
    def _split_algorithms(cls, value: object) -> object:
        names = tuple(value.replace(",", " ").split()) if isinstance(value, str) else value
        if not isinstance(names, tuple) or not names or not JWT_ALGORITHMS.issuperset(names):
            raise ValueError(f"expected some of {', '.join(sorted(JWT_ALGORITHMS))}")
        return names

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_proxies(cls, value: object) -> object:
        names = value.replace(",", " ").split() if isinstance(value, str) else value
        return tuple(dict.fromkeys(map(_checked_proxy, names))) if isinstance(names, list | tuple) else names

    @field_validator("agents", mode="before")
    @classmethod
    def _split_agents(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        agents: dict[str, str] = {}
        for entry in filter(None, (part.strip() for part in value.split(","))):
            name, equals, path = entry.partition("=")
            module, colon, attribute = path.partition(":")
            if not (name and equals and module and colon and attribute):
                raise ValueError("expected name=module:attribute, separated by commas")
            if name in agents:
                raise ValueError(f"the name {name!r} appears twice")
            agents[name] = path
        return agents

    @field_validator("allowed_state_types", mode="before")
    @classmethod
    def _split_types(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(filter(None, (part.strip() for part in value.split(","))))
        for name in names:
            if not TYPE_NAME.fullmatch(name):
                raise ValueError(f"expected module:Class or module, separated by commas; {name!r} is neither")
        return names

    @field_validator("configurable_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(dict.fromkeys(filter(None, (part.strip() for part in value.split(",")))))
        for key in keys:
            if key in _OWN_KEYS or key.startswith(_OWN_KEY_BEGINNINGS):
                raise ValueError(f"expected keys of your graphs; this server or LangGraph sets {key!r}")
        return keys

    @property
    def keepalive_seconds(self) -> float:
        """Return the longest time without any data on a stream, in seconds."""
        return min(self.keepalive_interval, MAX_KEEPALIVE_SECONDS)

    @property
    def beat_seconds(self) -> float:
        """Return the seconds between two heartbeats of a worker."""
        return self.lease_seconds / 3

    @property
    def self_stop_seconds(self) -> float:
        """Return the seconds without a heartbeat after which a worker stops its runs, before its leases expire."""
        return self.lease_seconds * 2 / 3

    @property
    def rescue_seconds(self) -> float:
        """Return the seconds between two checks for expired leases."""
        return self.lease_seconds / 6

    @property
    def uses_embedded_model(self) -> bool:
        """Return whether the built-in agent uses the embedded model."""
        if self.model_name == EMBEDDED_MODEL_NAME:
            return True
        return self.model_name == DEFAULT_MODEL_NAME and self.openai_api_key is None and self.openai_base_url is None

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """Return the keys that sign webhooks: two while receivers change keys, none if WEBHOOK_SECRET is not set."""
        return () if self.webhook_secret is None else signing_keys(self.webhook_secret.get_secret_value())

    @cached_property
    def project(self) -> Project:
        """Return the content of the user's langgraph.json, empty if none is set.

        Raises ConfigurationError if the file is invalid.
        """
        return Project() if self.langgraph_config is None else read_project(self.langgraph_config)

    @property
    def graph_paths(self) -> dict[str, str]:
        """Return the paths of the user's graphs by name, as `module:attribute` or `file.py:attribute`.

        The setting AGENTS takes precedence over the langgraph.json. Raises ConfigurationError if that file is invalid.
        """
        return {**self.project.graphs, **self.agents}

    def version_of(self, name: str) -> str | None:
        """Return the version of an agent: that of the langgraph.json which names it, else AGENT_VERSION."""
        return (None if name in self.agents else self.project.versions.get(name)) or self.agent_version


def _checked_origin(origin: str) -> str:
    """Return an origin unchanged. Raises ValueError unless it has the form that browsers send.

    Refuse `*`: there is no login yet, so any page open on this host could read all messages.
    """
    if origin == "*":
        raise ValueError("expected origins by their names: with * any page could read and change everything")
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        raise ValueError("expected origins such as https://app.example.com or http://localhost:3000, without a path")
    if (found["scheme"], found["port"]) in (("http", "80"), ("https", "443")):
        raise ValueError("expected no default port, since browsers do not send it")
    return origin


def _checked_proxy(name: str) -> str:
    """Return the address or network of a proxy in its usual form. Raises ValueError for anything else.

    Refuse a network of all addresses: every client could then give itself any address.
    """
    try:
        network = ipaddress.ip_network(name)
    except ValueError:
        raise ValueError("expected addresses and networks such as 10.0.0.5 or 10.0.0.0/24, without host bits") from None
    if network.prefixlen == 0:
        raise ValueError("expected the proxies by their addresses: with all addresses, clients could name any address")
    return name


def signing_keys(secret: str) -> tuple[bytes, ...]:
    """Return the bytes of one secret for webhooks, or of two secrets separated by a space.

    Raises ValueError unless each secret is the prefix and 24 to 64 bytes in base64.
    """
    expected = f"expected {SIGNING_PREFIX} and 24 to 64 bytes in base64, at most two of these with a space between"
    secrets = secret.split()
    if not (1 <= len(secrets) <= 2 and all(each.startswith(SIGNING_PREFIX) for each in secrets)):
        raise ValueError(expected)
    try:
        keys = tuple(base64.b64decode(each.removeprefix(SIGNING_PREFIX), validate=True) for each in secrets)
    except binascii.Error:
        raise ValueError(expected) from None
    if not all(24 <= len(key) <= 64 for key in keys):
        raise ValueError(expected)
    return keys


def place_of(url: str) -> str:
    """Return a database URL for display. For a server, show only its kind, since the rest may have a password."""
    scheme, colon, _ = url.partition("://")
    if not colon:
        return "one without ://"
    return repr(url) if scheme in ("sqlite", "memory") else f"{scheme}://…"


def load_settings(env_file: str | None = ".env") -> Settings:
    """Return the settings of this process. Raises ConfigurationError with variable, expected form and given value."""
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_explain(dict(e)) for e in error.errors())) from None


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
