"""The API that clients of AG-UI post to, below `/agui`. It needs the package of the extra `agui`."""

from importlib.util import find_spec

from ...api.surfaces import Surface
from .errors import error_of
from .routing import PREFIX

if find_spec("ag_ui") is None:
    from .not_installed import router
else:
    from .endpoints import router

SURFACE = Surface(PREFIX, router.routes, error_of)
"""Runs of agents, by threads."""
