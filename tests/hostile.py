"""Exceptions whose classes do what they should not, and errors in shapes without end."""

from collections.abc import Callable
from typing import Any, ClassVar


class Hostile(Exception):
    """Raises whatever is read of it."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(f"read {name}")

    def __str__(self) -> str:
        raise KeyboardInterrupt

    def __repr__(self) -> str:
        raise RecursionError


class NoText(Exception):
    """Has a text that is none."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307  which is the point


class Tricky(str):
    """A text that raises when it is cut."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        raise ZeroDivisionError


class TrickyText(Exception):
    """Has such a text."""

    def __str__(self) -> str:
        return Tricky("tricky")


class OwnClass(Exception):
    """Says that it is of a class which cannot be asked for."""

    @property  # type: ignore[misc]  # the base has no property
    def __class__(self) -> Any:
        raise ZeroDivisionError


class ClassThatExits(Exception):
    """Ends whatever asks for its class."""

    @property  # type: ignore[misc]  # the base has no property
    def __class__(self) -> Any:
        raise SystemExit(5)


class OwnCause(Exception):
    """Has a cause, notes, status and response that raise."""

    @property
    def __cause__(self) -> Any:  # type: ignore[override]  # the base has a plain attribute
        raise ZeroDivisionError

    @property
    def response(self) -> Any:
        raise GeneratorExit

    status_code = code = body = headers = details = response
    __notes__ = response


class Callish(Exception):
    """Has what a provider's error has, of kinds that nobody expects."""

    code = staticmethod(lambda: 1 / 0)
    status_code = True
    response: ClassVar[Any] = {1: {2: [3]}, "Error": {"Code": None}}
    headers: ClassVar[Any] = ["Retry-After"]
    body: ClassVar[Any] = [[[[[]]]]]


class Deaf:
    """A value of which nothing can be asked."""

    def __getattribute__(self, name: str) -> Any:
        raise ZeroDivisionError

    __eq__ = __hash__ = __bool__ = __len__ = __getattribute__  # type: ignore[assignment]  # of no fitting type on purpose


class RpcError(Exception):
    """Has such values wherever a provider's error has one."""

    code = status = status_code = response = body = details = headers = type = reason = grpc_status_code = Deaf()


def with_notes(notes: object) -> Exception:
    error = ValueError("noted")
    error.__notes__ = notes  # type: ignore[assignment]  # Python takes anything
    return error


def ring() -> Exception:
    """Two errors that led to each other, and to themselves."""
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    one.__context__ = one
    return one


def deep_group(depth: int) -> BaseException:
    """An error in so many groups."""
    error: BaseException = ValueError("innermost")
    for _ in range(depth):
        error = BaseExceptionGroup("group", [error])
    return error


def wide_group(width: int) -> BaseException:
    return ExceptionGroup("wide", [ValueError(number) for number in range(width)])


def long_chain(length: int) -> BaseException:
    error: BaseException = ValueError("first")
    for _ in range(length):
        following = ValueError("next")
        following.__context__ = error
        error = following
    return error


def branching(depth: int) -> BaseException:
    """Groups whose members are led to by the group below, twice each: 2 ** depth ways through them."""
    error: BaseException = ValueError("innermost")
    for _ in range(depth):
        members = [ValueError("left"), ValueError("right")]
        for member in members:
            member.__cause__ = error
        error = ExceptionGroup("two", members)
    return error


def nameless() -> BaseException:
    """An error of a class whose name looks like a line of the log."""
    made: BaseException = type("Bad\n2026-11-22 11:03:19 - app.worker - INFO - FORGED", (Exception,), {})("x")
    return made


KINDS: dict[str, Callable[[], BaseException]] = {
    "everything raises": lambda: Hostile("x"),
    "the text is a number": lambda: NoText("x"),
    "the text cannot be cut": lambda: TrickyText("x"),
    "the class cannot be asked for": lambda: OwnClass("x"),
    "the class exits": lambda: ClassThatExits("x"),
    "the cause cannot be asked for": lambda: OwnCause("x"),
    "a provider's attributes of other kinds": lambda: Callish("x"),
    "values that cannot be asked": lambda: RpcError("x"),
    "the notes are a number": lambda: with_notes(5),
    "the notes are no texts": lambda: with_notes([5, None, Tricky("During")]),
    "notes of gigabytes": lambda: with_notes(["x" * 10_000_000] * 1000),
    "a ring": ring,
    "a deep group": lambda: deep_group(1_000),
    "a wide group": lambda: wide_group(100_000),
    "a long chain": lambda: long_chain(10_000),
    "a tree": lambda: branching(60),
    "a name of two lines": nameless,
    "a long text": lambda: ValueError("x" * 50_000_000),
    "a long text of bytes": lambda: ValueError(b"x" * 50_000_000),
    "a long key": lambda: KeyError("x" * 50_000_000),
    "a long text and a number": lambda: ValueError("x" * 50_000_000, 1),
    "a long list": lambda: ValueError(["x" * 50_000_000] * 3),
    "a long key of an object": lambda: KeyError({"key": "x" * 50_000_000}),
    "a long text of the system": lambda: OSError(1, "x" * 50_000_000),
    "a group with a long text": lambda: ExceptionGroup("x" * 50_000_000, [ValueError("\x1b[2J\u2028\ud800\x00")]),
    "exit": lambda: SystemExit(3),
    "interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
}
"""Ways to make such errors, by what is wrong with them."""
