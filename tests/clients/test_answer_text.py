"""The text of an answer after each event, and the text that is handed out once."""

import pytest
from agentq_client import errors
from agentq_client.core.answer_text import AnswerText, TextFeed
from agentq_client.core.sse import Frame, FrameReader
from agentq_client.events import StreamEvent, to_event


def content(at: int, text: str, message: str = "a") -> StreamEvent:
    return to_event("chunk", at, {"type": "content", "chunk": text, "index": 0, "message": message})


def discard(at: int, first: int, *, kept: bool, message: str = "a") -> StreamEvent:
    data = {"type": "discard", "chunk": "", "index": 0, "message": message, "kept": kept, "discard_from": first}
    return to_event("chunk", at, data)


def retry(at: int, first: int = 1) -> StreamEvent:
    return to_event("retry", at, {"state": "queued", "attempt": 1, "error": "Lost.", "discard_from": first})


class Reader:
    """Takes events as a stream does."""

    def __init__(self) -> None:
        self.answer = AnswerText()
        self.feed = TextFeed()

    def take(self, event: StreamEvent) -> str:
        return self.feed.take(event, self.answer, lost=self.answer.take(event))


def test_a_discard_takes_the_text_of_its_message_alone() -> None:
    answer = AnswerText()
    for event in (content(2, "Draft"), content(3, "Fact.", "b"), discard(4, 2, kept=False)):
        answer.take(event)
    assert answer.text == "Fact."


def test_a_discard_leaves_earlier_text_of_its_message() -> None:
    answer = AnswerText()
    for event in (content(2, "Kept. "), content(5, "Draft"), discard(6, 5, kept=False)):
        answer.take(event)
    assert answer.text == "Kept. "


def test_a_later_attempt_that_differs_is_told_at_its_first_piece() -> None:
    reader = Reader()
    assert [reader.take(event) for event in (content(2, "Blue"), retry(3))] == ["Blue", ""]
    with pytest.raises(errors.TextDiverged):
        reader.take(content(5, "Red"))


def test_a_later_attempt_that_says_less_is_told_at_the_end() -> None:
    reader = Reader()
    given = [content(2, "One two"), retry(3), content(5, "One")]
    assert [reader.take(event) for event in given] == ["One two", "", ""]
    with pytest.raises(errors.TextDiverged):
        reader.take(to_event("done", 6, {"state": "completed", "result": "One"}))


def test_three_attempts_give_each_text_once() -> None:
    reader = Reader()
    given = [
        content(2, "One "),
        retry(3),
        content(5, "One two "),
        retry(6),
        content(8, "One t"),
        content(9, "wo three"),
    ]
    assert "".join(map(reader.take, given)) == "One two three"
    assert reader.answer.text == "One two three"


def test_a_byte_order_mark_is_no_part_of_the_first_field() -> None:
    assert FrameReader().feed(b"\xef\xbb\xbfevent: usage\ndata: {}\n\n") == [Frame("usage", None, b"{}")]
