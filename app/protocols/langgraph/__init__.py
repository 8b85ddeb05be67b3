"""The API of LangGraph's server, below `/langgraph`, for its SDKs and for pages that are built on them."""

from ...api.surfaces import Surface
from . import (
    assistants,
    crons,
    stateless_runs,
    store,
    streams,
    system,
    thread_commands,
    thread_events,
    thread_runs,
    thread_states,
    threads,
)
from .errors import error_of
from .routing import PREFIX

_MODULES = (
    system,
    assistants,
    threads,
    thread_states,
    crons,
    thread_runs,
    thread_commands,
    thread_events,
    stateless_runs,
    streams,
    store,
)

SURFACE = Surface(PREFIX, [route for module in _MODULES for route in module.router.routes], error_of)
