"""The Agent2Agent protocol (A2A) below `/a2a`: a task is a message, and a context is a thread.

The package `a2a-sdk` takes long to import, so only the first request imports the modules that need it.
"""

from ...api.surfaces import Surface
from . import endpoints
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, [*endpoints.router.routes, *endpoints.root_router.routes], error_of)
