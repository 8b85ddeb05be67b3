"""The API that clients of AG-UI post to, below `/agui`.

The package of the protocol takes a tenth of a second to import, so only the first request imports the modules that need
it. Servers that are installed without it tell what to install.
"""

from ...api.surfaces import Surface
from . import endpoints
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, endpoints.router.routes, error_of)
"""Runs of agents, by threads."""
