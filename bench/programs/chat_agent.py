"""A chat of one step whose model costs nothing: `AGENTS=chat=bench.programs.chat_agent:graph`."""

from bench.programs.memory import graph_of

graph = graph_of("chat")
