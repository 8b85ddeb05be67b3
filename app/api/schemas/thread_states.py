"""Replies about the states of threads."""

from pydantic import BaseModel

from ...models.thread_states import ThreadState


class ThreadHistory(BaseModel):
    """A page of a thread's states, newest first."""

    states: list[ThreadState]
