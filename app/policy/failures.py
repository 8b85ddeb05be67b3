"""Reads errors that foreign code raised. Pure.

Each function takes a bounded number of steps and raises nothing, whatever the error's class does. The class may have
attributes that raise, megabytes of text, cyclic causes, or nested groups.
"""

import reprlib
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

from ..text import escaped

MAX_TEXT_LENGTH = 40_000
"""Characters read of an error's text. Far fewer are shown, so secrets are removed before the text is cut."""

MAX_NAME_LENGTH = 200
MAX_BASES = 100
MAX_CHAIN = 100
MAX_MEMBERS = 2_000
MAX_NOTES = 100
UNREADABLE = "(its text could not be read)"


def attribute(thing: object, name: str) -> Any:
    """Return an attribute of an object; None if the attribute is missing or raises."""
    try:
        return getattr(thing, name, None)
    except BaseException:  # noqa: BLE001  a property may raise anything
        return None


def class_name(error: BaseException) -> str:
    """Return the name of the error's class."""
    return escaped(_name_of(type(error))[:MAX_NAME_LENGTH])


def class_names(error: BaseException) -> list[str]:
    """Return the names of the error's class and of all its bases."""
    return [_name_of(each) for each in _bases_of(error)]


def module_names(error: BaseException) -> set[str]:
    """Return the top-level packages that the error's class and its bases come from."""
    modules = (attribute(each, "__module__") for each in _bases_of(error))
    return {module.partition(".")[0] for module in modules if type(module) is str}


def text_of(error: BaseException) -> str:
    """Return the beginning of the error's text."""
    try:
        text = _text(error)
    except BaseException:  # noqa: BLE001  `__str__` may raise anything, or return another type
        return UNREADABLE
    return str.__getitem__(text, slice(MAX_TEXT_LENGTH))


def described(error: BaseException) -> str:
    """Return the error's class and the beginning of its text. For a group, add class and text of its first member."""
    text = with_class(error)
    if not is_group(error):
        return text
    member = next(members_of(error), None)  # type: ignore[arg-type]  # it is a group
    return text if member is None else f"{text}: {with_class(member)}"


def with_class(error: BaseException, showing: Callable[[str], str] = str) -> str:
    """Return the error's class, and its text changed by `showing`. Leave out a blank text."""
    text = text_of(error)
    return f"{class_name(error)}: {showing(text)}" if text.strip() else class_name(error)


def notes_of(error: BaseException) -> list[str]:
    """Return the notes of an error that are text, oldest first."""
    notes = attribute(error, "__notes__")
    if type(notes) is not list:
        return []
    return [note[:MAX_TEXT_LENGTH] for note in notes[:MAX_NOTES] if type(note) is str]


def note_node(error: BaseException, node: str) -> None:
    """Add the note by which LangGraph names a failed node."""
    try:
        BaseException.add_note(error, f"During task with name '{node}' and id ''")
    except BaseException:  # noqa: BLE001  the error is reported without the note
        return


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and the errors that led to it, the outermost first."""
    return (each for each, _ in links_of(error))


def links_of(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """Yield each error of the chain, and whether it has an explicit cause (`raise … from`)."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen and len(seen) < MAX_CHAIN:
        seen.add(id(following))
        cause = _CAUSE(following)
        yield following, cause is not None
        following = cause or (None if _SUPPRESSED(following) else _CONTEXT(following))


def members_of(group: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    """Yield the errors of a group and of its nested groups, in order."""
    waiting = [group]
    for _ in range(MAX_MEMBERS):
        if not waiting:
            return
        each = waiting.pop()
        if is_group(each):
            members = BaseExceptionGroup.exceptions.__get__(each)
            waiting += members[:MAX_MEMBERS][::-1]
        else:
            yield each


def is_group(error: BaseException) -> bool:
    """Return whether an error is a group. `isinstance` would call the error's own `__class__`."""
    return issubclass(type(error), BaseExceptionGroup)


def all_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, the errors that led to it, and the members of every group among these."""
    waiting = deque([error])
    seen: set[int] = set()
    while waiting and len(seen) < MAX_MEMBERS:
        for each in chain_of(waiting.popleft()):
            if id(each) in seen:
                break
            seen.add(id(each))
            yield each
            if is_group(each):
                waiting.extend(islice(members_of(each), MAX_MEMBERS))  # type: ignore[arg-type]  # it is a group


def _bases_of(error: BaseException) -> tuple[type, ...]:
    bases: tuple[type, ...] = _MRO(type(error))
    return bases[:MAX_BASES]


def _name_of(kind: type) -> str:
    return str(_NAME(kind))


def _text(error: BaseException) -> str:
    """Return `str(error)`. Shorten long values, since only the beginning of the text is read."""
    arguments = _ARGUMENTS(error)
    method = type(error).__str__
    if method is BaseException.__str__ and len(arguments) != 1:
        return _REPR.repr(arguments) if arguments else ""
    if method is BaseException.__str__ and type(arguments[0]) in _CONTAINERS:
        return _REPR.repr(arguments[0])
    if method is BaseException.__str__ and type(arguments[0]) in (bytes, bytearray):
        return repr(arguments[0][:MAX_TEXT_LENGTH])
    if method is KeyError.__str__ and len(arguments) == 1 and type(arguments[0]) in (str, *_CONTAINERS):
        return _REPR.repr(arguments[0])
    return _beginning_of_copy(error, method, arguments)


def _beginning_of_copy(error: BaseException, method: object, arguments: tuple[Any, ...]) -> str:
    """Return `str(error)`. Return only the beginning where Python would copy a long text: megabytes take tens of ms."""
    if method is OSError.__str__ and len(arguments) == 2 and _is_long(arguments[1]):
        return f"[Errno {arguments[0]}] {arguments[1][:MAX_TEXT_LENGTH]}"
    if method is BaseExceptionGroup.__str__ and _is_long(arguments[0]):
        return str(arguments[0][:MAX_TEXT_LENGTH])
    return str(error)


def _is_long(value: object) -> bool:
    return type(value) is str and len(value) > MAX_TEXT_LENGTH


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = MAX_TEXT_LENGTH // 10
_REPR.maxlist = _REPR.maxtuple = _REPR.maxset = _REPR.maxfrozenset = _REPR.maxdict = 100
_CONTAINERS = (list, tuple, set, frozenset, dict)


# Read attributes without the error's class, which may have attributes of its own with these names.
_CAUSE: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Callable[[BaseException], BaseException | None] = BaseException.__dict__["__context__"].__get__
_SUPPRESSED: Callable[[BaseException], bool] = BaseException.__dict__["__suppress_context__"].__get__
_NAME: Callable[[type], str] = cast(Any, type.__dict__["__name__"]).__get__
_MRO: Callable[[type], tuple[type, ...]] = cast(Any, type.__dict__["__mro__"]).__get__
_ARGUMENTS: Callable[[BaseException], tuple[Any, ...]] = cast(Any, BaseException.__dict__["args"]).__get__
