"""The APIs that clients of other products use, as views of the same messages, events and threads."""

from . import ai_sdk, langgraph, openai

SURFACES = (langgraph.SURFACE, openai.SURFACE, ai_sdk.SURFACE)
