"""Imports the object that a setting names as `module:attribute` or `/file.py:attribute`."""

import asyncio
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from ..errors import AgentUnavailable
from ..policy.failures import attribute as attribute_of

OUR_PACKAGE = __name__.partition(".")[0]


async def load_attribute(path: str, folders: Sequence[Path] = ()) -> object:
    """Return the object that `path` names. Import its module on a thread.

    A file in one of `folders` gets a module name relative to that folder. Raises AgentUnavailable, or whatever the
    module raises.
    """
    module_name, _, attribute = path.rpartition(":")
    if Path(module_name).suffix in (".js", ".cjs", ".mjs", ".ts", ".cts", ".mts"):
        raise AgentUnavailable(f"{Path(module_name).name} is not Python. This server runs no graphs in JavaScript.")
    if module_name.endswith(".py"):
        module = await asyncio.to_thread(_import_file, Path(module_name), folders)
    else:
        module = await asyncio.to_thread(importlib.import_module, module_name)
    try:
        found: object = getattr(module, attribute)
    except AttributeError:
        raise AgentUnavailable(f"{module_name} has no attribute {attribute!r}.") from None
    return found


def make_importable(folder: Path) -> None:
    """Add a folder to the end of `sys.path`. Installed packages keep precedence."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def hint_for(error: BaseException) -> str:
    """Return advice on a missing module; an empty text for other errors."""
    name = attribute_of(error, "name") if issubclass(type(error), ModuleNotFoundError) else None
    if type(name) is not str:
        return ""
    package = name.partition(".")[0]
    if package == OUR_PACKAGE:
        return f"The name {OUR_PACKAGE!r} is taken by this server; rename the package, or import relatively."
    if package in sys.modules:  # the package exists but has no such module
        return ""
    return (
        f"Install what provides {package!r}, start the server in its folder, or name that folder in the "
        "langgraph.json's `dependencies`."
    )


def _import_file(file: Path, folders: Sequence[Path]) -> ModuleType:
    """Import a file under the module name that its project uses, so that relative imports work.

    Make its folder importable. Use a unique name if another module has the name already. Raises AgentUnavailable.
    """
    if not file.is_file():
        raise AgentUnavailable(f"There is no file {file.name} in {file.parent.name}.")
    importlib.invalidate_caches()
    root = _root_of(file, folders)
    make_importable(root)
    make_importable(file.parent)
    name = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    return importlib.import_module(name) if _is_name_of(name, file) else _import_alone(file)


def _root_of(file: Path, folders: Sequence[Path]) -> Path:
    """Return the folder around the file's outermost package, or the innermost of `folders` around the file."""
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    if root != file.parent:
        return root
    return max((each for each in folders if file.is_relative_to(each)), key=lambda each: len(each.parts), default=root)


def _is_name_of(name: str, file: Path) -> bool:
    """Return whether importing `name` would load this file. Raises whatever the packages around the file raise."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return False
    except ValueError:  # a module of this name without an import spec
        return False
    if spec is None or spec.origin is None:
        return False
    found = Path(spec.origin)
    return found.exists() and found.samefile(file)


def _import_alone(file: Path) -> ModuleType:
    """Import a file under a unique name, in a package made for its folder. Raises AgentUnavailable."""
    package = "agent_queue_graph_" + "_".join(file.parent.parts[1:]).replace(".", "_")
    name = f"{package}.{file.stem.replace('.', '_')}"
    if name in sys.modules:
        return sys.modules[name]
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(file.parent)]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise AgentUnavailable(f"{file.name} in {file.parent.name} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
