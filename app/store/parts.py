"""Long work in parts, each a transaction of its own, so that what others ask for comes between."""

from collections.abc import Awaitable, Callable


async def repeat(work: Callable[[], Awaitable[int]], batch: int) -> int:
    """Do this for as long as it does a whole batch. Returns how much was done in all."""
    done = count = await work()
    while count >= batch:
        count = await work()
        done += count
    return done


async def prune(
    work: Callable[[int], Awaitable[tuple[int, list[str], bool]]], limit: int, part: int
) -> tuple[int, list[str]]:
    """Delete up to `limit`, `part` at a time. `work` says of how many, which keys to drop, and if it left something."""
    done, dropped = 0, []
    while done < limit:
        size = min(part, limit - done)
        count, keys, left = await work(size)
        done += count
        dropped += keys
        if count < size and not left:
            break
    return done, dropped
