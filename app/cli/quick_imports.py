"""Makes libraries faster to import for short commands, by leaving out parts of them that no command uses."""

import gc
import importlib
import os
import sys
from types import ModuleType
from typing import Any

METADATA = "importlib.metadata"


class _LateMetadata(ModuleType):
    """A stand-in for `importlib.metadata`, which it imports when more than its name `entry_points` is used."""

    def __getattr__(self, name: str) -> Any:
        if name == "entry_points":  # Pydantic imports this name, and calls it only to look for plugins
            return self._entry_points
        if name.startswith("__"):  # `from` asks each module whether it has a `__path__`
            raise AttributeError(name)
        return getattr(self._imported(), name)

    def _entry_points(self, *given: Any, **named: Any) -> Any:
        return self._imported().entry_points(*given, **named)

    def _imported(self) -> Any:
        if sys.modules.get(METADATA) is self:
            del sys.modules[METADATA]
        return importlib.import_module(METADATA)


def pause_collections() -> None:
    """Collect no garbage until `resume_collections`. Imports make hardly any, and looking is a tenth of their time."""
    gc.disable()


def resume_collections() -> None:
    """Collect garbage again, not among what was imported."""
    gc.freeze()
    gc.enable()


def skip_plugins() -> None:
    """Have Pydantic look for no plugins, unless the environment names those to leave out.

    To look for them, it imports a parser of emails and reads the metadata of every package that is installed. This
    takes a tenth of the time of a short command. No plugin has work to do in one: they observe what servers validate.
    """
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if METADATA not in sys.modules:
        sys.modules[METADATA] = _LateMetadata(METADATA)


def import_httpx() -> None:
    """Import httpx without its own command line, which brings click and rich and takes a third of the time."""
    if "httpx" in sys.modules:
        return
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # makes an import fail, for which httpx is prepared
    import httpx  # noqa: F401  only so that the client finds it

    del sys.modules["httpx._main"]
