"""Finds the classes that the agents' memory may restore, and collects the refused ones. See docs/adr/0035. Pure."""

import logging
import sys
from collections.abc import Callable, Collection
from contextvars import ContextVar
from importlib import import_module

from ..text import escaped

logger = logging.getLogger(__name__)

SETTING = "ALLOWED_STATE_TYPES"

MAX_DESCRIBED = 1_000
"""Maximum characters of an error's text after the hint."""

MAX_WARNED = 1_000
"""Maximum types that are logged, since forged rows must not fill the log."""

NO_MODULE = "its module cannot be imported ({})"
NO_CLASS = "its module has no class of this name at its top level"

REFUSED: ContextVar[set[str] | None] = ContextVar("refused_state_types", default=None)
"""The types that reads in this context have refused; None if they are not collected."""

EXPECTED_ERRORS = frozenset({"AttributeError", "TypeError", "KeyError", "ValidationError"})
"""Errors that code raises when it gets a dict in place of an object."""


class StateTypesRefused(Exception):
    """A node failed, probably because it got plain data in place of an object whose type is not allowed."""


class StateTypes:
    """An allow-list of classes: `module:Class` allows one class, `module` all that the module defines.

    Safe to use from any thread.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._warned: set[str] = set()

    def find(self, module: str, name: str) -> type | None:
        """Import the module and return the class; return None if it is not allowed or missing."""
        type_name = f"{module}:{name}"
        if self._names.isdisjoint((type_name, module)):
            refused = REFUSED.get()
            if refused is not None:
                refused.add(type_name)
            self.warn(type_name, f"{SETTING} does not name it")
            return None
        try:
            found = getattr(import_module(module), name, None)
        except Exception as error:  # noqa: BLE001  a user's module may raise anything
            self.warn(type_name, NO_MODULE.format(type(error).__name__))
            return None
        # The module may have imported other names. The writer of a row must not be able to choose one of these.
        if isinstance(found, type) and (type_name in self._names or found.__module__ == module):
            return found
        self.warn(type_name, NO_CLASS)
        return None

    def warn(self, type_name: str, reason: str) -> None:
        """Log why values of this type are read as plain data. Log each type once, and at most MAX_WARNED types."""
        if type_name not in self._warned and len(self._warned) < MAX_WARNED:
            self._warned.add(type_name)
            logger.warning("Stored values are read as plain data: type=%s, %s", escaped(type_name), reason)


def wrong_names(names: Collection[str]) -> dict[str, str]:
    """Return the names in the setting that allow no class, each with the reason. Imports the named modules."""
    reasons = {name: _why_wrong(*name.partition(":")) for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


def _why_wrong(module: str, colon: str, name: str) -> str:
    try:
        found = import_module(module)
    except BaseException as error:  # noqa: BLE001  a user's module may raise anything, including SystemExit
        package, _, last = module.rpartition(".")
        if not colon and isinstance(getattr(sys.modules.get(package), last, None), type):
            return f"a class is named with a colon: {package}:{last}"
        return NO_MODULE.format(type(error).__name__)
    if colon:
        return "" if isinstance(getattr(found, name, None), type) else NO_CLASS
    own = (each for each in vars(found).values() if isinstance(each, type))
    return "" if any(each.__module__ == module for each in own) else "its module defines no class"


def watch_refusals() -> set[str]:
    """Return a set to which reads in this context add the types that they refuse."""
    refused: set[str] = set()
    REFUSED.set(refused)
    return refused


def explained(error: Exception, refused: Collection[str], describe: Callable[[Exception], str]) -> Exception:
    """Return StateTypesRefused if refused types are a likely cause of a run's error; otherwise the error itself.

    `describe` returns the error's class and text.
    """
    if not refused or type(error).__name__ not in EXPECTED_ERRORS:
        return error
    return StateTypesRefused(
        f"Add {', '.join(sorted(refused))} to {SETTING} and restart the worker. The stored state has values of these "
        f"types, and the node got them as plain data. {describe(error)[:MAX_DESCRIBED]}"
    )
