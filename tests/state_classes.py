"""Classes that the states of tests hold, and what a row must never get at."""

import enum
import os
from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage
from pydantic import BaseModel, Field, RootModel

MODULE = __name__

SPRUNG: list[Any] = []


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    LARGE = "large"


class Level(enum.IntEnum):
    HIGH = 3


@dataclass
class Plan:
    steps: Any


@dataclass(frozen=True, slots=True)
class Place:
    x: Any


@dataclass
class Counted:
    """Its `__init__` does not take all of its fields."""

    given: int
    total: int = field(init=False)

    def __post_init__(self) -> None:
        self.total = self.given + 1


class Point(NamedTuple):
    x: Any
    y: Any = 2


Pair = namedtuple("Pair", "left right")


class Weather(BaseModel):
    city: str
    degrees: float = 0.0


class Renamed(BaseModel):
    """Takes another name than its field has, and would take a missing one too."""

    value: Any = Field(default=None, alias="otherName")


class Tags(RootModel[list[str]]):
    pass


class Remark(AIMessage):
    mood: str = "calm"


class Outer:
    class Inner(BaseModel):
        x: int


@dataclass
class Trap:
    """Whoever can write a row could have it built."""

    armed: bool

    def __post_init__(self) -> None:
        if self.armed:
            SPRUNG.append(self)


def spring(*values: Any, **named: Any) -> None:
    """A function that a row must not call."""
    SPRUNG.append((values, named))


system = os.system


class NoText:
    def __repr__(self) -> str:
        raise ValueError("no text")


def ring() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def ring_of_plans() -> Plan:
    plan = Plan(None)
    plan.steps = [plan]
    return plan


def nest(depth: int) -> Any:
    made: Any = 1
    for _ in range(depth):
        made = [made]
    return made
