"""Bodies of requests that LangGraph's clients send."""
