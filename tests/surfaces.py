"""The surfaces' errors: the paths that have them, where their text is, and their statuses."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tests import wire
from tests.integration.test_api import check_problem


class Form(NamedTuple):
    """How a surface writes an error.

    `text` returns the text of a body: of the JSON in it, or of the whole if it is none. `get` is a path below the
    surface that takes only GET. `statuses` has the statuses by the native ones where they differ. With
    `takes_any_query`, query parameters that are not known are ignored. With `has_code`, errors have the native code.
    """

    text: Callable[[Any], str]
    get: str
    statuses: Mapping[int, int] = MappingProxyType({})
    media_type: str = "application/json"
    takes_any_query: bool = False
    has_code: bool = False


def _of_streams(body: str) -> str:
    """The text of a problem."""
    problem = json.loads(body)
    assert {"type", "title", "status", "code"} <= problem.keys()
    return str(problem["detail"])


def _of_json_rpc(body: Any) -> str:
    """The text of an error of JSON-RPC."""
    assert body.keys() == {"jsonrpc", "id", "error"}
    assert body["error"]["data"].keys() == {"code", "status"}
    return str(body["error"]["message"])


def _of_openai(body: Any) -> str:
    """The text of an error that has all four fields."""
    error = body["error"]
    assert error.keys() == {"message", "type", "code", "param"}
    assert error["type"]
    assert error["code"]
    return str(error["message"])


FORMS: dict[str, Form] = {
    "/langgraph": Form(lambda body: str(body["detail"]), "/ok"),
    "/agui": Form(lambda body: str(body["message"]), "/chat", has_code=True),
    "/api/chat": Form(str, "/x/stream", media_type="text/plain; charset=utf-8"),
    "/streams": Form(
        _of_streams,
        "/messages/x",
        MappingProxyType({422: 400}),
        media_type="application/problem+json",
        takes_any_query=True,
    ),
    "/a2a": Form(_of_json_rpc, "/chat/.well-known/agent-card.json", MappingProxyType({422: 400})),
    "/mcp": Form(_of_json_rpc, "", MappingProxyType({422: 400})),
    "/v1": Form(_of_openai, "/models", MappingProxyType({422: 400})),
}
"""By the path of a surface, the form of its errors."""


def check_refused(response: wire.RawResponse, path: str, status: int, code: str, field: str | None = None) -> str:
    """A refusal in the form that its path has: a problem with this code, or a surface's error. Returns its text."""
    form = next((form for prefix, form in FORMS.items() if f"{path}/".startswith(f"{prefix}/")), None)
    if form is None:
        return str(check_problem(response, status, code, field)["detail"])
    assert response.status == form.statuses.get(status, status), response
    assert response.headers["content-type"] == form.media_type
    assert int(response.headers["content-length"]) == len(response.body)
    if form.media_type == "application/json":
        body = response.json()
        assert not {"code", "title"} & body.keys() or (form.has_code and body.keys() == {"message", "code"})
        assert not form.has_code or body["code"] == (code or body["code"])
        told = form.text(body)
    else:
        told = form.text(response.body.decode())
    assert told
    assert field is None or field in told
    return told
