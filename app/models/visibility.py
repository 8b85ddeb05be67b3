"""The part of a tenant that a caller may see."""

from typing import NamedTuple


class ThreadNarrowing(NamedTuple):
    """The threads that a caller may use: those with these ids, and those whose ids begin with `prefix`."""

    ids: frozenset[str] = frozenset()
    prefix: str | None = None

    def includes(self, thread_id: str | None) -> bool:
        """Return whether the caller may use the thread. False for None, which stands for no thread."""
        if thread_id is None:
            return False
        return thread_id in self.ids or (self.prefix is not None and thread_id.startswith(self.prefix))


class Visibility(NamedTuple):
    """The messages and threads that a caller may see: those that match all given fields. None means all.

    Every thread has a subject (an end user) or none, and so has every message. Neither ever changes.
    """

    subject: str | None = None
    threads: ThreadNarrowing | None = None
    agents: frozenset[str] | None = None

    @property
    def is_narrowed(self) -> bool:
        """Return whether the caller may not see all of their tenant."""
        return not (self.subject is None and self.threads is None and self.agents is None)

    def shows_message(self, subject: str | None, thread_id: str | None, agent: str) -> bool:
        """Return whether the caller may see a message with these fields."""
        return self.shows_thread(subject, thread_id) and self.shows_agent(agent)

    def shows_thread(self, subject: str | None, thread_id: str | None) -> bool:
        """Return whether the caller may see a thread. With `thread_id` None: a message without a thread."""
        return (self.subject is None or self.subject == subject) and (
            self.threads is None or self.threads.includes(thread_id)
        )

    def shows_agent(self, agent: str) -> bool:
        """Return whether the caller may use an agent."""
        return self.agents is None or agent in self.agents


EVERYTHING = Visibility()
"""The view of a caller who is not narrowed: all of the tenant."""
