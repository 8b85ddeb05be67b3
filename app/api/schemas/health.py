"""Replies about the health of a process."""

from pydantic import BaseModel

from ... import __version__
from ...models.workers import ServedAgent
from .examples import example


class Check(BaseModel):
    """One thing that must work. `detail` says what is wrong. It is empty if nothing is wrong."""

    ok: bool
    detail: str


class Health(BaseModel):
    """The health of a process. `status` is `healthy`, `degraded`, or `starting` while its `agents` load."""

    model_config = example(
        status="healthy",
        version=__version__,
        checks={"store": {"ok": True, "detail": ""}},
        agents=[{"name": "chat", "state": "available", "error": None, "version": None}],
    )

    status: str
    version: str
    checks: dict[str, Check]
    agents: list[ServedAgent]


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"
