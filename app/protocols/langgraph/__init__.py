"""The API of LangGraph's server, below `/langgraph`, for its SDKs and for pages that are built on them."""

from ...api.surfaces import Surface
from . import streams, system, thread_runs
from .errors import error_of
from .routing import PREFIX

_MODULES = (system, thread_runs, streams)

SURFACE = Surface(PREFIX, [route for module in _MODULES for route in module.router.routes], error_of)
