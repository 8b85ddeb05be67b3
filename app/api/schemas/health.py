"""Replies about the health of a process."""

from pydantic import BaseModel

from ... import __version__
from ...models.workers import ServedAgent
from .examples import example


class Check(BaseModel):
    """One thing that has to work. `detail` says what is wrong, empty when nothing is."""

    ok: bool
    detail: str


class Health(BaseModel):
    """`healthy`, `starting` while agents load, or `degraded`; `checks` by name; the agents that this process runs."""

    model_config = example(
        status="healthy",
        version=__version__,
        checks={"store": {"ok": True, "detail": ""}},
        agents=[{"name": "chat", "state": "available", "error": None}],
    )

    status: str
    version: str
    checks: dict[str, Check]
    agents: list[ServedAgent]


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"
