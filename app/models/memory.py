"""Keys under which a run tells the agent's memory about its attempt."""

MEMORY_FENCE_KEY = "__attempt_fence"
"""In a run's `configurable`: the attempt's right to write to the agent's memory. LangGraph does not store `__` keys."""

MEMORY_KEEP_KEY = "__keep_read"
"""There too, for what an attempt reads before its run: a list that takes what was found at the conversation's end."""

MEMORY_KEPT_KEY = "__kept_read"
"""There too, for the run: that list, from which it takes its first read."""

MEMORY_ANSWERS_KEY = "__answers"
"""There too, for the run: a dictionary in which the memory notes the humans' answers that each task has taken."""
