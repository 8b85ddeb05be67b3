"""W3C trace contexts, and the trace that is kept with a message.

The formats are those of W3C Trace Context, level 2 (https://www.w3.org/TR/trace-context-2/).
"""

import re
from typing import NamedTuple, Self

MAX_STATE_LENGTH = 512
"""Maximum characters of a `tracestate`. Longer ones are dropped; the standard has receivers keep at least 512."""

MAX_STATE_MEMBERS = 32

_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_KEY = r"[a-z0-9][a-z0-9_*/-]{0,255}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_MEMBER = re.compile(_KEY + r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
SAMPLED = 1
"""The bit of a `traceparent` that says that the caller records the trace."""


class TraceContext(NamedTuple):
    """The place of a request in a trace: a `traceparent` of version 00, and a `tracestate`, which may be empty."""

    parent: str
    state: str = ""

    @classmethod
    def of(cls, parent: str, state: str = "") -> Self | None:
        """Return the context of these headers; None if `parent` is malformed. A malformed `state` is dropped.

        A `parent` of a version above 00 is read as version 00, as the standard says.
        """
        found = _PARENT.fullmatch(parent)
        if found is None or (found[1] == "00" and found[5] is not None):
            return None
        known = parent if found[1] == "00" else f"00-{found[2]}-{found[3]}-{found[4]}"
        return cls(known, _checked_state(state))

    @property
    def trace_id(self) -> str:
        """Return the trace's id, 32 hexadecimal digits."""
        return self.parent[3:35]

    @property
    def span_id(self) -> str:
        """Return the span's id, 16 hexadecimal digits."""
        return self.parent[36:52]

    @property
    def begun(self) -> str:
        """Return the text of the trace of a new message, as `Trace` has it. Each submit in a trace makes one."""
        return f"{self.parent}\n{self.state}" if self.state else self.parent

    @property
    def sampled(self) -> bool:
        """Return whether the caller records the trace."""
        return bool(int(self.parent[53:55], 16) & SAMPLED)


class Trace(NamedTuple):
    """The trace of a message: the context of its submit, and spans that its next attempt links to.

    `attempt` is the `traceparent` of the newest attempt that did not end the message. `answer` is that of the newest
    request with a human's answer. Both may be empty. Stores keep a trace as one text.
    """

    context: TraceContext
    attempt: str = ""
    answer: str = ""

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the trace of a stored text."""
        parent, state, attempt, answer, *_ = f"{text}\n\n\n".split("\n")
        return cls(TraceContext(parent, state), attempt, answer)

    def __str__(self) -> str:
        return "\n".join((*self.context, self.attempt, self.answer)).rstrip("\n")


def trace_id_of(text: str | None) -> str | None:
    """Return the trace id of a stored trace, None if there is no trace."""
    return None if text is None else text[3:35]


def _checked_state(state: str) -> str:
    """Return a `tracestate` without blanks between its members; empty if it is malformed or too long."""
    if not state:
        return ""
    members = [member.strip(" \t") for member in state.split(",")]
    given = [member for member in members if member]
    keys = {member.partition("=")[0] for member in given}
    joined = ",".join(given)
    is_valid = (
        len(joined) <= MAX_STATE_LENGTH
        and len(given) <= MAX_STATE_MEMBERS
        and len(keys) == len(given)
        and all(map(_MEMBER.fullmatch, given))
    )
    return joined if is_valid else ""
