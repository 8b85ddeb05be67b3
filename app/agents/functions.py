"""Runs agents that are plain functions. They have no memory, and need LangGraph only if they ask for the store."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import is_dataclass
from typing import Any, cast

from pydantic import BaseModel
from typing_extensions import override

from ..models.agents import AgentDescription
from ..models.attempts import Lease
from ..models.parts import Part
from ..policy.agent_input import (
    ANY_OBJECT,
    check_context,
    check_input,
    check_is_graph,
    check_text,
    closed,
    invalid,
    usable,
)
from ..policy.failures import note_node
from .annotations import docstring_of, in_class, is_answer, is_list, is_object, schema_of, signature_of
from .base import Agent, AgentTask, FinalResult
from .joined_text import JoinedText, whole
from .json_output import as_json, output_text
from .run_config import config_of

GIVEN: dict[str, Callable[[AgentTask], Any]] = {
    "message_id": lambda task: task.message_id,
    "config": config_of,
    "metadata": lambda task: dict(task.metadata),
}
"""Names of parameters by which a function asks for more, beside `input` and `context`."""

STORE = "store"
"""The name of the parameter that gets LangGraph's store."""

TEXT: dict[str, Any] = {"type": "string"}
BLOCKS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}


def is_answering(found: object) -> bool:
    """Return whether a function answers messages itself; False if it makes a graph.

    Async generators answer. Coroutine functions answer if they are annotated to return a text, an object or a list.
    """
    if inspect.isasyncgenfunction(found):
        return True
    return inspect.iscoroutinefunction(found) and is_answer(signature_of(found).return_annotation)


def takes_store(answer: Callable[..., Any]) -> bool:
    """Return whether a function that answers asks for the store."""
    return STORE in list(signature_of(answer).parameters)[1:]


class FunctionAgent(Agent):
    """Calls a function with what the message gives. Each attempt calls it from the beginning.

    The first parameter gets the text. Annotated as a list, it gets content blocks; annotated as an object, the `input`.
    Without `input`, the object has the text in `messages`. Other parameters get what their names say: `input`,
    `context`, `config`, `metadata`, `message_id` or `store`. `store_of` makes the store of each run.
    """

    def __init__(
        self,
        answer: Callable[..., Any],
        description: str = "",
        store_of: Callable[[str, Lease | None], Any] | None = None,
    ) -> None:
        self._answer = answer
        self._store_of = store_of
        self._streams = inspect.isasyncgenfunction(answer)
        self._name = str(getattr(answer, "__name__", type(answer).__name__))
        signature = signature_of(answer)
        first, *others = signature.parameters.values() or [inspect.Parameter("_", inspect.Parameter.POSITIONAL_ONLY)]
        self._first = first.annotation
        self._named = {each.name: each.annotation for each in others}
        self._description = usable(
            AgentDescription(
                name=self._name,
                description=description or docstring_of(answer),
                input_schema=self._input_schema(),
                output_schema={} if self._streams else _schema(signature.return_annotation),
                context_schema=closed(_schema(self._named["context"])) if "context" in self._named else None,
            )
        )

    @override
    def describe(self, name: str) -> AgentDescription:
        return self._description.model_copy(update={"name": name})

    @override
    async def run(self, task: AgentTask) -> AsyncGenerator[Part | FinalResult]:
        arguments = self._arguments(task)
        output: str | None = None
        pieces: list[str] = []
        joined = JoinedText()
        try:
            answer = self._answer(*arguments[0], **arguments[1])
            returned = answer if self._streams else _once(cast(Awaitable[object], answer))
            async with aclosing(cast(AsyncGenerator[object], returned)) as answering:
                async for piece in answering:
                    if _is_output(piece):
                        output = output_text(as_json(piece), task.max_output_bytes)
                        continue
                    text = joined.add(_text(piece)) if self._streams else whole(_text(piece))
                    if text or self._streams:
                        pieces.append(text)
                        yield Part("content", text)
            if rest := joined.end():
                pieces.append(rest)
                yield Part("content", rest)
        except BaseException as error:
            note_node(error, self._name)
            raise
        text = "".join(pieces)
        if not text and output is not None:
            text = output
            yield Part("content", text)
        yield FinalResult(text, output)

    @override
    async def fence_off(self, task: AgentTask) -> None:
        pass  # there is no memory

    def _input_schema(self) -> dict[str, Any]:
        if is_object(self._first):
            return closed(schema_of(self._first))
        forms = [TEXT, BLOCKS] if is_list(self._first) else [TEXT]
        if "input" not in self._named:
            return forms[0] if len(forms) == 1 else {"anyOf": forms}
        taken = closed(_schema(self._named["input"]))
        definitions = {"$defs": taken.pop("$defs")} if "$defs" in taken else {}
        return {"anyOf": [*forms, taken], **definitions}

    def _arguments(self, task: AgentTask) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the named arguments. Raises InvalidInput for what the function cannot take."""
        named = {name: give(task) for name, give in GIVEN.items() if name in self._named}
        check_is_graph(task.given)
        if STORE in self._named and self._store_of is not None:
            named[STORE] = self._store_of(task.tenant, task.lease)
        if task.given.context is not None:
            check_context(self._description, task.given.context)
        if "context" in self._named:
            named["context"] = _given_as(self._named["context"], task.given.context, "context")
        if "input" in self._named:
            named["input"] = self._checked_input(task, self._named["input"])
        return [self._first_argument(task)], named

    def _first_argument(self, task: AgentTask) -> Any:
        given = task.given
        if is_object(self._first):
            if given.input is not None:
                return self._checked_input(task, self._first)
            check_text(self._description)
            content = task.content if given.blocks is None else [dict(block) for block in given.blocks]
            return {"messages": [{"role": "user", "content": content}]}
        if given.input is not None and "input" not in self._named:
            raise invalid("input", "this agent takes a text; give a `message` instead")
        if is_list(self._first):
            blocks = given.blocks or ({"type": "text", "text": task.content},)
            return [dict(block) for block in blocks]
        for index, block in enumerate(given.blocks or ()):
            if block.get("type") != "text":
                raise invalid(f"message.{index}", "this agent takes text only")
        return task.content

    def _checked_input(self, task: AgentTask, annotation: Any) -> Any:
        if task.given.input is not None:
            check_input(self._description, task.given.input)
        return _given_as(annotation, task.given.input, "input")


async def _once(answer: Awaitable[object]) -> AsyncGenerator[object]:
    yield await answer


def _schema(annotation: Any) -> dict[str, Any]:
    is_unknown = annotation in (inspect.Parameter.empty, Any, object)
    return dict(ANY_OBJECT) if is_unknown else schema_of(annotation)


def _given_as(annotation: Any, given: dict[str, Any] | None, name: str) -> Any:
    """Return the object `given` in the class of the function's parameter; None if the message gives no object.

    Raises InvalidInput, which names the wrong field; its path begins with `name`.
    """
    return given if given is None or annotation is inspect.Parameter.empty else in_class(annotation, given, name)


def _is_output(given: object) -> bool:
    return isinstance(given, dict | list | BaseModel) or (is_dataclass(given) and not isinstance(given, type))


def _text(given: object) -> str:
    if not isinstance(given, str):
        is_graph = hasattr(given, "astream")
        hint = (
            " A function that yields a graph needs the decorator `contextlib.asynccontextmanager`." if is_graph else ""
        )
        raise TypeError(
            f"The agent answered with a value of the type `{type(given).__name__}`, expected `str` or an object.{hint}"
        )
    return given
