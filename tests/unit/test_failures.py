"""Errors of others are described by text, place, node and traceback, whatever their classes do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.graph import END, START, StateGraph

from app.observability.logging import Redactor
from app.policy.failures import class_name, described, note_node, text_of
from app.policy.retry import Verdict, fingerprint, judge
from app.policy.tracebacks import MAX_TRACEBACK_LENGTH, frames_of, node_of, place_of, traceback_of
from tests import hostile

NOW = datetime(2030, 1, 2, tzinfo=UTC)
ENOUGH_SECONDS = 1.0
"""On a loaded machine; the slowest of these takes some tens of milliseconds."""

shown = Redactor(["hunter2-hunter2"]).shown


class State(TypedDict):
    value: int


def caught(raising: Callable[[], object]) -> BaseException:
    try:
        raising()
    except BaseException as error:  # noqa: BLE001  whatever it is
        return error
    raise AssertionError("nothing was raised")


def innermost() -> None:
    raise ValueError("broken, key hunter2-hunter2")


def outer() -> None:
    try:
        innermost()
    except ValueError as error:
        raise LookupError("second\nline") from error


# Whatever an error's class does


@pytest.mark.parametrize("kind", hostile.KINDS)
def test_no_error_of_others_raises_or_holds_up(kind: str) -> None:
    error = hostile.KINDS[kind]()

    def tell() -> None:
        raise error

    raised = caught(tell)
    began = time.process_time()
    mark = fingerprint(class_name(raised), node_of(raised), shown(text_of(raised)))
    verdict = judge(raised, NOW)
    told = [shown(described(raised)), place_of(raised), traceback_of(raised, shown), class_name(raised)]
    quiet = traceback_of(raised, shown, texts=False, every_frame=True)
    assert time.process_time() - began < ENOUGH_SECONDS
    assert (len(mark), type(verdict)) == (16, Verdict)
    assert all(text is None or len(text) <= MAX_TRACEBACK_LENGTH for text in [*told, quiet])
    assert "xxxx" not in quiet


@pytest.mark.parametrize("kind", [kind for kind in hostile.KINDS if "long" in kind and "chain" not in kind])
def test_a_text_of_megabytes_costs_milliseconds(kind: str) -> None:
    error = hostile.KINDS[kind]()
    began = time.process_time()
    text = shown(text_of(error))
    judge(error, NOW)
    assert time.process_time() - began < 0.1
    assert len(text) <= 2_000


@pytest.mark.parametrize(
    "error", [OSError(1, "x" * 100_000), ExceptionGroup("x" * 100_000, [ValueError()])], ids=class_name
)
def test_the_beginning_of_a_long_text_is_that_of_the_whole_text(error: Exception) -> None:
    text = text_of(error)
    assert len(text) == 40_000
    assert str(error).startswith(text)


@given(arguments=st.lists(st.text() | st.integers() | st.none() | st.lists(st.text()), max_size=3))
def test_the_text_of_an_ordinary_error_is_its_own(arguments: list[Any]) -> None:
    assert text_of(ValueError(*arguments)) == str(ValueError(*arguments))
    assert text_of(KeyError(*arguments)) == str(KeyError(*arguments))


# Where


def test_the_place_is_the_innermost_one_in_the_users_code() -> None:
    def library() -> None:
        asyncio.run("no coroutine")  # type: ignore[arg-type]  # raises in the standard library

    error = caught(library)
    assert frames_of(error)[-1].library == "python"
    place = place_of(error)
    assert place is not None
    assert place.startswith("tests/unit/test_failures.py:")
    assert place.endswith(" in library")


def test_a_group_is_described_with_its_first_member() -> None:
    group = ExceptionGroup("unhandled errors", [ExceptionGroup("inner", [ValueError("the cause")]), TypeError("other")])
    assert described(group) == "ExceptionGroup: unhandled errors (2 sub-exceptions): ValueError: the cause"


@pytest.mark.parametrize("error", [ValueError(), ValueError(""), ValueError(" \n")], ids=repr)
def test_an_error_without_a_text_is_described_by_its_class_alone(error: Exception) -> None:
    assert described(error) == "ValueError"
    assert traceback_of(error, shown) == "ValueError"
    assert described(ExceptionGroup("unhandled errors", [error])) == (
        "ExceptionGroup: unhandled errors (1 sub-exception): ValueError"
    )


def test_the_place_of_a_group_is_that_of_its_member() -> None:
    def inner() -> None:
        raise ValueError("the cause")

    def outer() -> None:
        raise BaseExceptionGroup("unhandled errors", [caught(inner)])

    assert (place_of(caught(outer)) or "").endswith(" in inner")


def test_compiled_frames_are_of_their_library() -> None:
    def user() -> None:
        exec(compile("raise ValueError", "uvloop/loop.pyx", "exec"), {})

    error = caught(user)
    assert frames_of(error)[-1].library == "uvloop"
    assert (place_of(error) or "").endswith(" in user")


def test_without_code_of_the_user_the_innermost_place_of_all_is_told() -> None:
    error = caught(lambda: compile("1 +", "<x>", "eval"))
    error.__traceback__ = None
    assert place_of(error) is None
    assert place_of(ValueError("never raised")) is None


def test_the_traceback_ends_with_what_was_raised_last_and_has_no_values_and_no_secrets() -> None:
    secret_value = "never shown"
    text = traceback_of(caught(outer), shown)
    lines = text.split("\n")
    assert lines[-1] == r"LookupError: second\nline"
    assert [line.strip() for line in lines if "in innermost" in line or "in outer" in line]
    assert text.index("in innermost") < text.index("direct cause") < text.rindex("in outer")
    assert "ValueError: broken, key ***" in lines
    assert secret_value not in text.replace('secret_value = "never shown"', "")


def test_the_traceback_of_the_log_has_classes_and_places_only() -> None:
    text = traceback_of(caught(outer), shown, texts=False)
    assert "in innermost" in text
    assert text.endswith("LookupError")
    assert "LookupError:" not in text
    assert "ValueError:" not in text


def test_frames_of_libraries_are_counted_but_for_the_one_that_raised() -> None:
    text = traceback_of(caught(lambda: asyncio.run(asyncio.wait_for(fails(), 5))), shown)
    assert " of python]" in text
    assert "in fails" in text
    assert len(text) < 1_500


async def fails() -> None:
    raise ValueError("here")


def test_a_very_deep_call_shows_how_it_began_and_ended() -> None:
    def again(depth: int) -> None:
        again(depth + 1)

    text = traceback_of(caught(lambda: again(0)), shown)
    assert text.count("in again") < 25
    assert " of your code]" in text
    assert len(text) <= MAX_TRACEBACK_LENGTH


def test_members_of_a_group_are_shown() -> None:
    text = traceback_of(
        BaseExceptionGroup("two", [caught(innermost), KeyError("b"), ValueError("c"), ValueError("d")]), shown
    )
    assert text.count("Member of the group:") == 3
    assert "in innermost" in text


# Nodes


def one_node(name: str, node: Any) -> Any:
    graph = StateGraph(State)
    graph.add_node(name, node)
    graph.add_edge(START, name)
    graph.add_edge(name, END)
    return graph.compile()


def graphs(raising: Callable[[], object]) -> list[Any]:
    """A graph whose node `in'ner` raises: a synchronous one and another, also inside of an outer one."""

    async def asynchronous(_: State) -> State:
        raising()
        return {"value": 1}

    def synchronous(_: State) -> State:
        raising()
        return {"value": 1}

    alone = [one_node("in'ner", asynchronous), one_node("in'ner", synchronous)]
    return [*alone, *(one_node("outer", graph) for graph in alone)]


async def error_of(run: Awaitable[object]) -> BaseException:
    try:
        await run
    except BaseException as error:  # noqa: BLE001  whatever it is
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError, hostile.NoText])
@pytest.mark.parametrize("shape", range(4))
async def test_the_node_is_the_innermost_one(kind: type[BaseException], shape: int) -> None:
    def raising() -> None:
        raise kind

    error = await error_of(graphs(raising)[shape].ainvoke({"value": 0}))
    assert node_of(error) == "in'ner"
    if kind is not asyncio.CancelledError:  # LangGraph's own error stands for that
        assert (place_of(error) or "").endswith(" in raising")


async def test_a_node_whose_error_was_replaced_outside_is_the_outer_one() -> None:
    inner = graphs(lambda: 1 / 0)[0]

    async def outer_node(state: State) -> State:
        try:
            return dict(await inner.ainvoke(state))  # type: ignore[return-value]  # never returned
        except ZeroDivisionError as error:
            raise LookupError("replaced") from error

    assert node_of(await error_of(one_node("outer", outer_node).ainvoke({"value": 0}))) == "outer"


async def test_nodes_of_errors_in_groups_are_found() -> None:
    error = await error_of(graphs(lambda: 1 / 0)[0].ainvoke({"value": 0}))
    assert node_of(BaseExceptionGroup("one", [ValueError(), error])) == "in'ner"


def test_a_note_that_cannot_be_left_is_no_error() -> None:
    error = hostile.with_notes(5)
    note_node(error, "answer")
    assert node_of(error) is None
    note_node(hostile.Hostile(), "answer")
