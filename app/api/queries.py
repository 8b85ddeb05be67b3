"""Refuses query parameters that an endpoint does not know. Otherwise a misspelt filter would have no effect."""

from collections.abc import Awaitable
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import MAX_SHOWN_ERRORS, InvalidQuery
from .schemas.problems import ProblemError
from .targets import ANY_METADATA, METADATA, TARGET

MAX_SHOWN_NAME = 100
"""Maximum characters of an unknown name in the refusal."""


class KnownQuery:
    """Refuses unknown query parameters.

    Refusals list the known parameters, which only authorized callers may see. This stage therefore follows the
    authorization.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Call the next stage if the target knows all parameters. Raises InvalidQuery."""
        target = scope[TARGET]
        if scope["query_string"] and (known := target.query) is not None and not target.takes_any_query:
            _check(scope["query_string"].decode("latin-1"), known)
        return self._app(scope, receive, send)


def _check(query: str, known: frozenset[str]) -> None:
    """Raise InvalidQuery unless all parameters of the query are known."""
    if known.issuperset([field.partition("=")[0] for field in query.split("&")]):
        return
    sent = dict(parse_qsl(query, keep_blank_values=True))
    if ANY_METADATA in known:
        sent = {name: value for name, value in sent.items() if not name.startswith(METADATA)}
    if known.issuperset(sent):
        return
    known_names = f"Known here: {', '.join(sorted(known))}." if known else "This path has none."
    unknown = [_shortened(name) for name in sent if name not in known][:MAX_SHOWN_ERRORS]
    errors = [ProblemError(field=name, detail=f"Unknown query parameter. {known_names}") for name in unknown]
    names = ", ".join(repr(name) for name in unknown)
    raise InvalidQuery(f"Unknown query parameters: {names}. {known_names}", errors)


def _shortened(name: str) -> str:
    """Return the beginning of a parameter's name, for the refusal."""
    return name if len(name) <= MAX_SHOWN_NAME else f"{name[:MAX_SHOWN_NAME]}…"
