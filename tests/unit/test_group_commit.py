"""Group commit: what is gathered into one batch."""

import asyncio

from app.store.sql.group_commit import MAX_BATCH_SIZE, GroupCommitThread, Operation, Result
from tests.servers import until


class Runner:
    """Remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def run(self, batch: list[Operation]) -> list[Result]:
        """Keep the sizes of the batch, and return the operations' results."""
        self.batches.append([operation.size for operation in batch])
        return [Result(operation.future, operation.work, None) for operation in batch]


async def test_a_batch_is_bounded_by_the_length_of_its_texts() -> None:
    runner = Runner()
    thread = GroupCommitThread("test", runner)
    await thread.open()
    sizes = [0, MAX_BATCH_SIZE // 2, MAX_BATCH_SIZE // 2, 1, 5 * MAX_BATCH_SIZE, 1, 0]
    answers = [thread.submit(place, size=size) for place, size in enumerate(sizes)]
    assert await asyncio.gather(*answers) == list(range(len(sizes)))
    await thread.close()
    assert [size for batch in runner.batches for size in batch] == sizes
    assert all(len(batch) == 1 or sum(batch) <= MAX_BATCH_SIZE for batch in runner.batches)
    assert len(runner.batches) == 4


async def test_what_is_left_of_a_batch_is_run_before_the_thread_closes() -> None:
    runner = Runner()
    thread = GroupCommitThread("test", runner)
    await thread.open()
    answers = [thread.submit(place, size=MAX_BATCH_SIZE) for place in range(5)]
    await thread.close()
    await until(lambda: all(answer.done() for answer in answers), "all are answered")
    assert len(runner.batches) == 5
