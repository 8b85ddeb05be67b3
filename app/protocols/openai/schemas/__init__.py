"""Bodies of requests to OpenAI's API."""
