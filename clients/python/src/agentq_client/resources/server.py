"""The server, its agents, its figures and its changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .. import models
from ..calls import access
from ..calls import server as calls
from ..change_streams import ChangeStream
from ..options import OneOrMore, Time
from ..pages import Pages

if TYPE_CHECKING:
    from ..client import AgentQ


class Server:
    """The server itself."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def about(self) -> models.About:
        """Return the server's name, its version, and the paths of its parts."""
        return self._client.call(calls.about())

    def health(self) -> models.Health:
        """Return the state of the process that answers."""
        return self._client.call(calls.health())

    def live(self) -> models.Alive:
        """Return whether the process answers. Raises ServerUnreachable if it does not."""
        return self._client.call(calls.live())

    def ready(self) -> models.Health:
        """Return the state of a process that can take work. Raises ServerUnavailable if it cannot."""
        return self._client.call(calls.ready())

    def doctor(self) -> models.Report:
        """Examine the server for faults. Needs the scope `admin`."""
        return self._client.call(calls.doctor())

    def settings(self) -> Sequence[models.Setting]:
        """Return the settings of the process that answers, without secrets. Needs the scope `admin`."""
        return self._client.call(calls.settings())

    def metrics(self) -> str:
        """Return the metrics in Prometheus's text format."""
        return self._client.call(calls.metrics())

    def caller(self) -> models.Caller:
        """Return who the caller is to the server, with their scopes."""
        return self._client.call(access.caller())


class Agents:
    """Agents that messages can name."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def list(self) -> Sequence[models.Agent]:
        """Return the agents, the default one first."""
        return self._client.call(calls.agents())

    def get(self, name: str) -> models.Agent:
        """Return an agent with its schemas."""
        return self._client.call(calls.agent(name))


class Usage:
    """Tokens and cost of model calls."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def quotas(self, *, tenant: str | None = None, subject: str | None = None) -> list[models.QuotaUse]:
        """Return what is left of the quotas of the tenant, of the key and of the end user."""
        return self._client.call(calls.quotas({"tenant": tenant, "subject": subject}))

    def list(
        self,
        *,
        since: Time | None = None,
        until: Time | None = None,
        group_by: Iterable[str] | None = None,
        tenant: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        agent: str | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> Pages[models.UsageRow]:
        """Return tokens and cost by group. Times are whole hours. An empty `group_by` gives one row."""
        groups = None if group_by is None else ",".join(group_by)
        query: dict[str, Any] = {"since": since, "until": until, "group_by": groups, "tenant": tenant, "key": key}
        query |= {"subject": subject, "agent": agent, "model": model, "limit": limit}
        return self._client.pages(calls.usage(query))

    def csv(
        self,
        *,
        since: Time | None = None,
        until: Time | None = None,
        group_by: Iterable[str] | None = None,
        tenant: str | None = None,
        key: str | None = None,
        subject: str | None = None,
        agent: str | None = None,
        model: str | None = None,
    ) -> str:
        """Return all groups as CSV."""
        groups = None if group_by is None else ",".join(group_by)
        query: dict[str, Any] = {"since": since, "until": until, "group_by": groups, "tenant": tenant, "key": key}
        return self._client.call(calls.usage_csv({**query, "subject": subject, "agent": agent, "model": model}))


class Statistics:
    """Figures of the queue."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def get(
        self, *, since: Time | None = None, until: Time | None = None, agent: str | None = None
    ) -> models.Statistics:
        """Return the messages by state now, and what happened in a window, by default the last hour."""
        return self._client.call(calls.statistics({"since": since, "until": until, "agent": agent}))

    def series(
        self,
        metric: str,
        *,
        step: int | None = None,
        since: Time | None = None,
        until: Time | None = None,
        agent: str | None = None,
        group_by: str | None = None,
    ) -> models.SeriesList:
        """Return the points of a metric, such as `wait`. `step` is 60, 300, 3600 or 86400 seconds."""
        query: dict[str, Any] = {"metric": metric, "step": step, "since": since, "until": until}
        return self._client.call(calls.series({**query, "agent": agent, "group_by": group_by}))


class Changes:
    """Changes of the server: messages, threads, the queue, agents and workers."""

    def __init__(self, client: AgentQ) -> None:
        self._client = client

    def list(
        self,
        *,
        after: str | None = None,
        type: OneOrMore | None = None,
        state: OneOrMore | None = None,
        agent: str | None = None,
        thread_id: str | None = None,
        limit: int | None = None,
    ) -> models.ChangePage:
        """Return a page of the changes after the id `after`, or of the oldest that are kept."""
        query = calls.changes_of(type, state, agent, thread_id)
        return self._client.call(calls.changes({**query, "after": after, "limit": limit}))

    def follow(
        self,
        *,
        after: str | None = None,
        type: OneOrMore | None = None,
        state: OneOrMore | None = None,
        agent: str | None = None,
        thread_id: str | None = None,
    ) -> ChangeStream:
        """Return the stream of the changes from now on, or after the id `after`."""
        return ChangeStream(self._client, calls.changes_of(type, state, agent, thread_id), after)
