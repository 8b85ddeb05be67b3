"""The APIs that clients of other products use, as views of the same messages, events and threads."""

from . import langgraph

SURFACES = (langgraph.SURFACE,)
