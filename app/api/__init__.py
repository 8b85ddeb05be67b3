"""The HTTP side: endpoints, their stages, streams and the WebSocket."""
