"""Imported last by the process that forks: it reads files that each start needs, and freezes what is in memory.

A server collects twice while it starts. Without this, each collection visits and copies the memory of all imports.
"""

import gc
import json
import os
import sys
from pathlib import Path

from app.dashboard.routes import dashboard_routes
from app.store.redis.scripts import load_scripts

dashboard_routes()
load_scripts()
gc.collect()
gc.freeze()

IMPORTED = frozenset(sys.modules)
"""The modules that no fork has to import."""


def tell_imports(file: Path) -> None:
    """Write the names of the modules that a fork had to import before the application starts in it, and end it."""
    file.write_text(json.dumps(sorted(sys.modules.keys() - IMPORTED)))
    os._exit(0)
