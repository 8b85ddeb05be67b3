"""Where the code of an agent is: the innermost frame that is neither of a library nor of this program."""

import asyncio
import gc
import inspect
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


def place_of_thread(frame: FrameType | None) -> str:
    """File, line and function where a thread is, from its innermost frame."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return _place_of(frames)


def place_of_coroutine(work: Any) -> str:
    """File, line and function where a suspended coroutine stands."""
    return _place_of(list(_frames_of(work))[::-1])


def _place_of(frames: list[FrameType]) -> str:
    """`frames` come with the innermost first."""
    users = (frame for frame in frames if not any(part in frame.f_code.co_filename for part in NOT_OF_USERS))
    found = next(users, frames[0] if frames else None)
    return "unknown code" if found is None else f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


def _frames_of(work: Any) -> Iterator[FrameType]:
    """The frames of a coroutine and of what it awaits, the outermost first."""
    while work is not None:
        for frame, awaited in (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom")):
            if hasattr(work, frame):
                if (found := getattr(work, frame)) is not None:
                    yield found
                work = getattr(work, awaited)
                break
        else:  # the step of an async generator does not name the generator
            work = next((each for each in gc.get_referents(work) if inspect.isasyncgen(each)), None)
