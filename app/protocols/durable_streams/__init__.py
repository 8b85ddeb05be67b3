"""Streams of messages and of threads in the Durable Streams protocol, below `/streams`, for readers."""

from ...api.surfaces import Surface
from . import endpoints
from .errors import error_of
from .routing import PREFIX

SURFACE = Surface(PREFIX, endpoints.router.routes, error_of)
