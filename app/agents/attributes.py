"""Finds what a setting names: `module:attribute`, or `/file.py:attribute`."""

import asyncio
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from app.errors import AgentUnavailable


async def load_attribute(path: str) -> object:
    """What a path names; its module is imported on a thread. Raises AgentUnavailable, or whatever the module raises."""
    module_name, _, attribute = path.rpartition(":")
    is_file = module_name.endswith(".py")
    module = await asyncio.to_thread(_import_file if is_file else importlib.import_module, module_name)
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        raise AgentUnavailable(f"{module_name} has no attribute {attribute!r}.") from None
    return found


def _import_file(path: str) -> ModuleType:
    """Import a file that need not be on the path, under a name of its own; its folder becomes importable."""
    file = Path(path)
    name = "agent_queue_graph_" + "_".join(file.with_suffix("").parts[1:])
    if name in sys.modules:
        return sys.modules[name]
    folder = str(file.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.exists():
        raise AgentUnavailable(f"There is no file {file.name} in {file.parent.name}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
