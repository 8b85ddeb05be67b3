"""The base of the server's replies, and how they are read. Fields of later servers are kept in `model_extra`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from ..core.replies import Reply
from ..errors import UnexpectedReply


class Model(BaseModel):
    """The base of all replies. `last_response` is the raw reply, with its status and headers."""

    model_config = ConfigDict(extra="allow", defer_build=True)
    _reply: Reply | None = PrivateAttr(default=None)

    @property
    def last_response(self) -> Reply:
        """Return the reply that this was read from, which is that of the page for an entry of a list."""
        if self._reply is None:
            raise AttributeError("this was not read from a reply")
        return self._reply


M = TypeVar("M", bound=Model)


def reader(kind: type[M]) -> Callable[[Reply], M]:
    """Return a function that reads a reply as a model. It raises UnexpectedReply for another body."""

    def read(reply: Reply) -> M:
        return _validated(kind, reply.json(), reply)

    return read


def list_reader(kind: type[M], name: str | None = None) -> Callable[[Reply], list[M]]:
    """Return a function that reads the list in the field `name`, or a reply that is a list."""

    def read(reply: Reply) -> list[M]:
        body = reply.json()
        entries = body if name is None else body.get(name) if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise UnexpectedReply(f"The reply has no list `{name or ''}`.", request_id=reply.request_id)
        return [_validated(kind, entry, reply) for entry in entries]

    return read


def text(reply: Reply) -> str:
    """Return a reply that is a text."""
    return reply.content.decode("utf-8", "replace")


def text_lists(name: str) -> Callable[[Reply], list[tuple[str, ...]]]:
    """Return a function that reads the lists of texts in the field `name`."""

    def read(reply: Reply) -> list[tuple[str, ...]]:
        try:
            return [tuple(map(str, each)) for each in reply.json()[name]]
        except (KeyError, TypeError) as error:
            raise UnexpectedReply(f"The reply has no lists `{name}`.", request_id=reply.request_id) from error

    return read


def _validated(kind: type[M], body: Any, reply: Reply) -> M:
    try:
        model = kind.model_validate(body)
    except ValidationError as error:
        raise UnexpectedReply(
            f"The reply is no {kind.__name__}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}.",
            request_id=reply.request_id,
        ) from error
    model._reply = reply
    return model
