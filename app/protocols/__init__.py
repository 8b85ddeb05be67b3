"""The APIs that clients of other products use, as views of the same messages, events and threads."""

from . import a2a, agui, ai_sdk, durable_streams, langgraph, mcp, openai

SURFACES = (
    langgraph.SURFACE,
    openai.SURFACE,
    ai_sdk.SURFACE,
    agui.SURFACE,
    durable_streams.SURFACE,
    mcp.SURFACE,
    a2a.SURFACE,
)
