"""The settings, with the checks of each value. Each process loads its own instance."""

import re
from collections.abc import Collection
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ..models.sharing import FairShare
from ..models.threads import MAX_TTL_MINUTES
from ..project import AGENT_VERSION, Project, read_project
from ..text import is_http_url
from .values import checked_header, checked_origin, checked_proxy, roles_in, signing_keys

DEFAULT_MODEL_NAME = "gpt-4"
EMBEDDED_MODEL_NAME = "embedded"
PLACEHOLDER_KEY = "your-openai-api-key-here"
MAX_KEEPALIVE_SECONDS = 15.0
"""Longest time without data on a stream, whatever the settings: proxies close silent connections."""

JWT_ALGORITHMS = frozenset((*(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)), "EdDSA"))
"""Algorithms with a public key. The others would let whoever knows the public key sign tokens, or nobody need a key."""

CHECKPOINT_HISTORY = 20
"""How many ended turns of a conversation keep a state to continue from."""

SQLITE_IN_MEMORY = re.compile(r"sqlite:/*(?:file:)?:memory:(?:\?.*)?", re.IGNORECASE)
"""Other spellings of `memory://`, from SQLite and SQLAlchemy."""

Seconds = Annotated[float, Field(gt=0, le=10**9, allow_inf_nan=False)]
AgentPaths = Annotated[dict[str, str], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]
TYPE_NAME = re.compile(r"[^\s:,/]+(?::[^\s:,./]+)?")

MAX_SUBMITS = 1_000_000
"""Highest limit of messages in a minute."""

_OWN_KEYS = ("thread_id", "run_id", "subject")
_OWN_KEY_BEGINNINGS = ("__", "checkpoint")
"""Keys of LangGraph's `configurable` that messages cannot set."""


class Settings(BaseSettings):
    """All settings. Each comes from the variable with its field's name in capitals. See docs/reference/settings.md."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    _names_of_file: frozenset[str] = PrivateAttr(default=frozenset())

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    model_name: str = DEFAULT_MODEL_NAME
    max_queue_size: int = Field(1000, ge=1)
    max_queue_size_per_tenant: int | None = Field(None, ge=1)
    max_running_per_tenant: int = Field(0, ge=0)
    submits_per_minute_per_key: int = Field(0, ge=0, le=MAX_SUBMITS)
    submits_per_minute_per_tenant: int = Field(0, ge=0, le=MAX_SUBMITS)
    submits_per_minute_per_subject: int = Field(600, ge=0, le=MAX_SUBMITS)
    submits_per_minute_per_address: int = Field(600, ge=0, le=MAX_SUBMITS)
    reads_per_minute: int = Field(6000, ge=0, le=MAX_SUBMITS)
    max_streams: int = Field(10_000, ge=0)
    max_streams_per_tenant: int = Field(0, ge=0)
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
    fair_share: FairShare = FairShare.TENANT
    retention_days: Seconds = 30
    thread_ttl_minutes: Annotated[float, Field(ge=0, le=MAX_TTL_MINUTES, allow_inf_nan=False)] = 0
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
    proxy_user_header: str | None = None
    proxy_groups_header: str | None = None
    proxy_tenant_header: str | None = None
    proxy_roles: AgentPaths = Field(default_factory=dict)
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
    hide_payloads: bool = False
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

    @model_validator(mode="after")
    def _limits_fit(self) -> "Settings":
        """Refuse a limit of a part that is above the limit of its whole, if both were set."""
        pairs = [
            ("submits_per_minute_per_key", "submits_per_minute_per_tenant"),
            ("submits_per_minute_per_subject", "submits_per_minute_per_tenant"),
            ("max_queue_size_per_tenant", "max_queue_size"),
            ("max_streams_per_tenant", "max_streams"),
        ]
        for part, whole in pairs:
            if {part, whole} <= self.model_fields_set and getattr(self, part) > getattr(self, whole) > 0:
                raise ValueError(
                    f"{part.upper()}: expected at most {whole.upper()}, which is {getattr(self, whole)}, got "
                    f"{getattr(self, part)}"
                )
        return self

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

    @model_validator(mode="after")
    def _shares_in_strict_priority(self) -> "Settings":
        asked = "fair_share" in self.model_fields_set and self.fair_share is not FairShare.NONE
        if self.priority_aging_seconds and asked:
            raise ValueError("FAIR_SHARE: expected none, or PRIORITY_AGING_SECONDS=0: messages that age take no turns")
        return self

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        origins = value.replace(",", " ").split() if isinstance(value, str) else value
        return tuple(dict.fromkeys(map(checked_origin, origins))) if isinstance(origins, list | tuple) else origins

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
        return tuple(dict.fromkeys(map(checked_proxy, names))) if isinstance(names, list | tuple) else names

    @field_validator("proxy_user_header", "proxy_groups_header", "proxy_tenant_header", mode="after")
    @classmethod
    def _is_header(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not info.data.get("trusted_proxies"):
            raise ValueError("expected TRUSTED_PROXIES to name the proxies whose header is believed")
        if info.field_name != "proxy_user_header" and info.data.get("proxy_user_header") is None:
            raise ValueError("expected PROXY_USER_HEADER to be set too")
        return checked_header(value)

    @field_validator("proxy_roles", mode="before")
    @classmethod
    def _split_roles(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        if info.data.get("proxy_user_header") is None:
            raise ValueError("expected PROXY_USER_HEADER to be set too")
        roles = roles_in(value)
        if info.data.get("proxy_groups_header") is None and set(roles) != {"*"}:
            raise ValueError("expected PROXY_GROUPS_HEADER to be set too, or only the group *, which has all users")
        return roles

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
    def names_of_file(self) -> frozenset[str]:
        """Return the fields whose values come from the file `.env`."""
        return self._names_of_file

    def note_file(self, names: Collection[str]) -> None:
        """Note the fields whose values come from the file `.env`, to show them."""
        self._names_of_file = frozenset(names)

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
