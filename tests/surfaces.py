"""The surfaces' errors: the paths that have them, and where their text is."""

from collections.abc import Callable
from typing import Any

from tests import wire
from tests.integration.test_api import check_problem

FORMS: dict[str, Callable[[Any], str]] = {"/langgraph": lambda body: str(body["detail"])}
"""By the path of a surface, the text of one of its errors."""


def check_refused(response: wire.RawResponse, path: str, status: int, code: str, field: str | None = None) -> str:
    """A refusal in the form that its path has: a problem with this code, or a surface's error. Returns its text."""
    form = next((form for prefix, form in FORMS.items() if path.startswith(f"{prefix}/")), None)
    if form is None:
        return str(check_problem(response, status, code, field)["detail"])
    assert response.status == status, response
    assert response.headers["content-type"] == "application/json"
    assert int(response.headers["content-length"]) == len(response.body)
    body = response.json()
    assert not {"code", "title"} & body.keys()
    told = form(body)
    assert told
    assert field is None or field in told
    return told
