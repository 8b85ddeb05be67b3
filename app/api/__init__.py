"""The HTTP side: endpoints, the stages that requests pass before them, streams and the WebSocket."""
