"""Finds where agent code is executing: in the innermost frame outside libraries and this program."""

import asyncio
import gc
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

NOT_OF_USERS = (
    "site-packages",
    "dist-packages",
    "<frozen",
    str(Path(asyncio.__file__).parent.parent),
    str(Path(__file__).parent.parent),
)


def place_of(stack: list[FrameType]) -> str:
    """Return file, line and function of the innermost frame of user code.

    If no frame is user code, use the innermost frame. Return `unknown code` for an empty stack.
    """
    users = (frame for frame in reversed(stack) if not any(part in frame.f_code.co_filename for part in NOT_OF_USERS))
    found = next(users, stack[-1] if stack else None)
    return "unknown code" if found is None else f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


def stack_of_thread(ident: int) -> list[FrameType]:
    """Return the frames of a thread, the innermost last; an empty list if the thread has ended."""
    frame = sys._current_frames().get(ident)
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def stack_of_coroutine(work: Any) -> list[FrameType]:
    """Return the frames of a suspended coroutine and of everything that it awaits, the innermost last."""
    return list(_frames_of(work))


def _frames_of(work: Any) -> Iterator[FrameType]:
    while work is not None:
        for frame, awaited in (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom")):
            if hasattr(work, frame):
                if (found := getattr(work, frame)) is not None:
                    yield found
                work = getattr(work, awaited)
                break
        else:  # the step of an async generator does not name the generator
            work = next((each for each in gc.get_referents(work) if inspect.isasyncgen(each)), None)
