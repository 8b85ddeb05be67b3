"""Checks new messages before they are stored, as far as this needs settings, agents or the network."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from .agents.descriptions import AgentDescriptions, KnownAgent
from .errors import InvalidRequest
from .models.inputs import RunConfig
from .models.keys import KeyWebhook
from .models.messages import NewMessage
from .text import escaped
from .webhooks.outbound_http import Resolve, check_webhook_url, remembering, resolve_host

MAX_RUN_AHEAD = timedelta(days=366)
"""Latest time at which a message may be scheduled, counted from now."""


class SubmissionChecks:
    """The checks of new messages. With `batch`, errors name the message's index and the field."""

    def __init__(
        self,
        descriptions: AgentDescriptions,
        *,
        configurable_keys: Collection[str],
        sends_webhooks: bool,
        allow_private_webhooks: bool,
    ) -> None:
        self._descriptions = descriptions
        self._configurable_keys = configurable_keys
        self._sends_webhooks = sends_webhooks
        self._allow_private_webhooks = allow_private_webhooks

    async def check(self, new: Sequence[NewMessage], batch: bool) -> None:
        """Raise InvalidRequest for the first fault in the messages.

        Raises StoreUnavailable if descriptions of agents that other processes serve cannot be read.
        """
        has_time_or_webhook = False
        for at, each in enumerate(new):  # no call that most messages do not need: each submit comes through here
            agent = self._descriptions.own(each.agent)
            if agent is None:
                if self._descriptions.is_stale:
                    await self._descriptions.refresh()
                agent = self._descriptions.stored(each.agent)
            if each.options is not None or (agent is not None and not agent.takes_text):
                self._check_given(each, agent, batch, at)
            names_webhook = each.webhook_url is not None or each.receivers != ()
            has_time_or_webhook = has_time_or_webhook or each.run_at is not None or names_webhook
        if has_time_or_webhook:
            await self._check_times_and_webhooks(new, batch)

    def with_webhook(self, new: Sequence[NewMessage], webhook: KeyWebhook) -> list[NewMessage]:
        """Return new messages with what their API key adds to their webhooks.

        The URL of the key was checked when the key was made, and is checked again when it is called. Raises
        InvalidRequest if the key has a URL and this server sends no webhooks.
        """
        if webhook.url is not None and not self._sends_webhooks:
            raise InvalidRequest(
                "webhook_url: the API key has a webhook, but this server sends none. Its operator can enable them with "
                "WEBHOOK_SECRET",
                field="webhook_url",
            )
        urls = [each.webhook_url or webhook.url for each in new]
        named = [
            each if url is None else each._replace(webhook_url=url, webhook_key=webhook.signing_key)
            for each, url in zip(new, urls, strict=True)
        ]
        return [
            (
                each._replace(
                    receivers=tuple(one.model_copy(update={"signing_key": webhook.signing_key}) for one in found)
                )
                if (found := each.receivers)
                else each
            )
            for each in named
        ]

    def _check_given(self, new: NewMessage, agent: KnownAgent | None, batch: bool, at: int) -> None:
        """Check the config of a new message, and what it gives to its agent. Raises InvalidRequest.

        `agent` None means that the agent's description is unknown. Only the config is then checked. `at` is the index
        of the message.
        """
        try:
            if new.options is not None:
                self._check_keys(new.options.run.config)
            if agent is not None:
                agent.check(new)
        except InvalidRequest as error:
            raise placed(error, batch, at) from None

    def _check_keys(self, config: RunConfig) -> None:
        for key in config.configurable:
            if key not in self._configurable_keys:
                known = ", ".join(self._configurable_keys) or "none"
                name = escaped(f"config.configurable.{key}")
                raise InvalidRequest(
                    f"{name}: this server does not let messages set this key. CONFIGURABLE_KEYS allows: {known}.",
                    field=name,
                    code="key_not_allowed",
                )

    async def _check_times_and_webhooks(self, wanted: Sequence[NewMessage], batch: bool) -> None:
        """Check the start times and webhook URLs of new messages. Raises InvalidRequest."""
        checked = set()
        resolve = remembering(resolve_host)
        now = datetime.now(UTC)
        for at, each in enumerate(wanted):
            name = f"{_within(batch, at)}run_at"
            if each.run_at is not None and each.run_at < now:
                raise InvalidRequest(f"{name}: expected a time in the future", field=name)
            if each.run_at is not None and each.run_at > now + MAX_RUN_AHEAD:
                raise InvalidRequest(f"{name}: expected a time within a year", field=name)
            for url in (each.webhook_url, *(receiver.url for receiver in each.receivers)):
                if url is None or url in checked:
                    continue
                checked.add(url)
                try:
                    await self.check_webhook(url, resolve)
                except InvalidRequest as error:
                    raise placed(error, batch, at) from None

    async def check_webhook(self, url: str, resolve: Resolve = resolve_host) -> None:
        """Raise InvalidRequest unless this server sends webhooks and may call this URL."""
        if not self._sends_webhooks:
            raise InvalidRequest(
                "webhook_url: this server sends no webhooks. Its operator can enable them with WEBHOOK_SECRET",
                field="webhook_url",
            )
        await check_webhook_url(url, allow_private=self._allow_private_webhooks, resolve=resolve)


def _within(batch: bool, at: int) -> str:
    """Return the prefix of a field's name in errors: the message's index in its batch; empty outside batches."""
    return f"messages.{at}." if batch else ""


def placed(error: InvalidRequest, batch: bool, at: int) -> InvalidRequest:
    """Return the error with the message's index in its batch before the field's name."""
    if not batch:
        return error
    name = f"{_within(batch, at)}{error.field}"
    text = str(error).removeprefix(f"{error.field}: ")
    return InvalidRequest(f"{name}: {text}", field=name, code=error.code)
