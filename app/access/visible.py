"""Finds messages and threads for callers. No other code decides what a caller may see of their tenant.

What a caller may not see is like a missing one: it is answered with the same error, after the same queries.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from ..errors import Forbidden, InvalidRequest, KeyReused, MessageNotFound, ThreadNotFound
from ..models.inputs import STATE_EVENTS, ShownEvent
from ..models.messages import (
    Accepted,
    Alias,
    Message,
    MessageFilter,
    MessagePart,
    NewMessage,
    Page,
    RequestKey,
    Thread,
)
from ..models.requests import Key
from ..models.threads import ThreadFilter, ThreadOrder
from ..models.visibility import Visibility
from ..text import storable
from .principals import Principal
from .scopes import AccessScope

T = TypeVar("T")

ALL_OF_TENANT = (
    "This request concerns all messages of the tenant, but the caller may only see some of them. Use an API key."
)

NO_WEBHOOK = (
    "webhook_url: a caller who acts for an end user names no webhook, since the API key's secret would sign what it "
    "sends. Give the API key a webhook."
)


NO_STATE = (
    "The events `values`, `tasks`, `checkpoints` and `debug` show the state of the thread. A reply that streams them "
    "needs the scope `read`, which the caller does not have."
)


class Readable(Protocol):
    """The reads of the store that are needed to know what a caller may see."""

    async def get(self, tenant: str, message_id: str) -> Message:
        """Return a message. Raises MessageNotFound."""

    async def find_alias(self, tenant: str, alias: str) -> Alias | None:
        """Return the message that an alias names."""

    async def get_thread(self, tenant: str, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""

    async def list_messages(
        self, tenant: str, chosen: MessageFilter, page: Page, *, positions: bool = True
    ) -> list[Message]:
        """Return messages, newest first, with their positions unless `positions` is False."""

    async def search_messages(self, tenant: str, chosen: MessageFilter, page: Page, *, seconds: float) -> MessagePart:
        """Return messages, newest first, as far as they are found in about this time."""

    async def count_messages(self, tenant: str, chosen: MessageFilter, *, most: int) -> int:
        """Return how many messages match the filter, at most `most`."""

    async def list_threads(self, tenant: str, page: Page, chosen: ThreadFilter, order: ThreadOrder) -> list[Thread]:
        """Return the threads that match the filter."""

    async def count_threads(self, tenant: str, chosen: ThreadFilter) -> int:
        """Return how many threads match the filter."""


class VisibleReads:
    """Finds and lists messages and threads, as far as callers may see them."""

    def __init__(self, store: Readable) -> None:
        self._store = store

    async def get(self, caller: Principal, name: str) -> Message:
        """Return the message with this id, or else with this alias. Raises MessageNotFound."""
        return await self._by_name(caller, name, lambda each: self._shown(caller, each))

    async def call(self, caller: Principal, name: str, call: Callable[[str], Awaitable[T]]) -> T:
        """Call a function with the id of a message that the caller names by its id or an alias.

        Raises MessageNotFound before the call if the caller may not see the message.
        """

        async def checked(message_id: str) -> T:
            if caller.is_narrowed:
                await self._shown(caller, message_id)
            return await call(message_id)

        return await self._by_name(caller, name, checked)

    async def find(self, caller: Principal, name: str) -> Alias:
        """Return the message with this id, or else with this alias, and the first event of the alias.

        The first event is 0 for an id. Raises MessageNotFound.
        """
        message = await self.get(caller, name)
        if message.id != name:
            for alias in _stored_aliases(caller, name):
                found = await self._store.find_alias(caller.tenant, alias)
                if found is not None and found.message_id == message.id:
                    return found
        return Alias(message.id, 0)

    async def ids(self, caller: Principal, message_ids: Iterable[str]) -> list[str]:
        """Return the ids, each once. Raises MessageNotFound for an id of a message that the caller may not see."""
        ids = list(dict.fromkeys(map(possible, message_ids)))
        if caller.is_narrowed:
            for message_id in ids:
                await self._shown(caller, message_id)
        return ids

    async def thread(self, caller: Principal, thread_id: str) -> Thread:
        """Return a thread. Raises ThreadNotFound."""
        thread = await self._store.get_thread(caller.tenant, thread_id)
        if not caller.visibility.shows_thread(thread.subject, thread.thread_id):
            raise ThreadNotFound(thread_id)
        return thread

    async def list_messages(
        self, caller: Principal, chosen: MessageFilter, page: Page, subject: str | None, *, positions: bool = True
    ) -> list[Message]:
        """Return one page of the messages of a subject that match the filter. None stands for any subject.

        With `positions=False`, the messages may lack their queue positions.
        """
        visible = _of_subject(caller, subject)
        if visible is None:
            return []
        seen = replace(chosen, visible=visible)
        return await self._store.list_messages(caller.tenant, seen, page, positions=positions)

    async def search_messages(
        self, caller: Principal, chosen: MessageFilter, page: Page, subject: str | None, *, seconds: float
    ) -> MessagePart:
        """Return a part of these messages, without their queue positions, see `QueryStore.search_messages`."""
        visible = _of_subject(caller, subject)
        if visible is None:
            return MessagePart([], None)
        return await self._store.search_messages(caller.tenant, replace(chosen, visible=visible), page, seconds=seconds)

    async def count_messages(self, caller: Principal, chosen: MessageFilter, subject: str | None, *, most: int) -> int:
        """Return how many messages of a subject match the filter, at most `most`. None stands for any subject."""
        visible = _of_subject(caller, subject)
        if visible is None:
            return 0
        return await self._store.count_messages(caller.tenant, replace(chosen, visible=visible), most=most)

    async def list_threads(
        self, caller: Principal, page: Page, chosen: ThreadFilter, order: ThreadOrder, subject: str | None
    ) -> list[Thread]:
        """Return one page of the threads of a subject that match the filter. None stands for any subject."""
        visible = _of_subject(caller, subject)
        if visible is None:
            return []
        return await self._store.list_threads(caller.tenant, page, replace(chosen, visible=visible), order)

    async def count_threads(self, caller: Principal, chosen: ThreadFilter, subject: str | None) -> int:
        """Return how many threads of a subject match the filter. None stands for any subject."""
        visible = _of_subject(caller, subject)
        return (
            0 if visible is None else await self._store.count_threads(caller.tenant, replace(chosen, visible=visible))
        )

    async def own_replay(self, caller: Principal, accepted: Accepted) -> Accepted:
        """Return an accepted request. Raises KeyReused if it repeats that of a caller whose messages are not shown."""
        if accepted.replayed and caller.is_narrowed:
            try:
                await self.ids(caller, [each.id for each in accepted.messages])
            except MessageNotFound:
                raise KeyReused from None
        return accepted

    async def _shown(self, caller: Principal, message_id: str) -> Message:
        message = await self._store.get(caller.tenant, message_id)
        if not caller.visibility.shows_message(message.subject, message.thread_id, message.agent):
            raise MessageNotFound(message_id)
        return message

    async def _by_name(self, caller: Principal, name: str, call: Callable[[str], Awaitable[T]]) -> T:
        """Call a function with an id. If it finds no message, call it with the id of the message with this alias."""
        name = possible(name)
        try:
            return await call(name)
        except MessageNotFound:
            for alias in _stored_aliases(caller, name):
                found = await self._store.find_alias(caller.tenant, alias)
                if found is not None:
                    try:
                        return await call(found.message_id)
                    except MessageNotFound:
                        continue
            raise MessageNotFound(name) from None


def possible(message_id: str) -> str:
    """Return the message id. Raises MessageNotFound if no store could hold it."""
    try:
        return storable(message_id)
    except ValueError:
        raise MessageNotFound(message_id) from None


def _of_subject(caller: Principal, subject: str | None) -> Visibility | None:
    """Return what the caller may see of a subject, None for nothing. With `subject` None, return all they may see."""
    if subject is None:
        return caller.visibility
    if caller.subject not in (None, subject):
        return None
    return caller.visibility._replace(subject=subject)


def own_name(caller: Principal, name: str) -> str:
    """Return an alias or a request key as it is stored. Those of a subject are apart from all others of the tenant."""
    return name if caller.subject is None else f"{caller.subject}\n{name}"


def request_key(caller: Principal, key: Key | None) -> RequestKey | None:
    """Return the key of a caller's request as it is stored."""
    return None if key is None else RequestKey(caller.tenant, own_name(caller, key[0]), key[1])


def shown_alias(alias: str, subject: str | None) -> str:
    """Return a stored alias of a message of `subject` as callers give it."""
    return alias if subject is None else alias.removeprefix(f"{subject}\n")


def _stored_aliases(caller: Principal, name: str) -> Iterator[str]:
    """Yield the stored aliases that a name may stand for."""
    if caller.subject is not None:
        yield own_name(caller, name)
    yield name


def require_all(caller: Principal) -> None:
    """Raise Forbidden unless the caller may see all of their tenant."""
    if caller.is_narrowed:
        raise Forbidden(ALL_OF_TENANT)


def check_webhooks(caller: Principal, wanted: Sequence[NewMessage]) -> None:
    """Raise Forbidden if a caller who acts for an end user names a webhook for a message that they submit."""
    if caller.subject is not None and any(each.webhook_url is not None or each.receivers for each in wanted):
        check_names_webhook(caller)


def check_names_webhook(caller: Principal) -> None:
    """Raise Forbidden if the caller acts for an end user, and therefore names no webhook."""
    if caller.subject is not None:
        raise Forbidden(NO_WEBHOOK)


def check_streamed(caller: Principal, thread_id: str | None, shown: Collection[ShownEvent]) -> None:
    """Raise Forbidden if a caller without the scope `read` would be shown the state of a thread by a new message."""
    if thread_id is not None and AccessScope.READ not in caller.scopes and not STATE_EVENTS.isdisjoint(shown):
        raise Forbidden(NO_STATE)


def owned(caller: Principal, new: NewMessage, **fields: Any) -> NewMessage:
    """Return a new message with the caller's tenant, key and subject, and with its aliases as they are stored.

    `fields` are further ones to set: each copy of a message costs microseconds.

    Raises Forbidden for another subject than the caller's, ThreadNotFound for a thread that they may not use, and
    InvalidRequest for no thread if they may use only some.
    """
    new = new._replace(tenant=caller.tenant, key_id=caller.key_id, **fields)
    if not caller.is_narrowed:
        return new
    if caller.subject is not None:
        if new.subject not in (None, caller.subject):
            raise Forbidden("subject: the caller acts for one end user already. Leave the field out.")
        aliases = tuple(own_name(caller, alias) for alias in new.aliases)
        new = new._replace(subject=caller.subject, aliases=aliases)
    if caller.threads is not None and not caller.threads.includes(new.thread_id):
        if new.thread_id is None:
            raise InvalidRequest("thread_id: the caller may only use some threads. Name one.", field="thread_id")
        raise ThreadNotFound(new.thread_id)
    return new
