"""Parts of `agentq chat` and `agentq top`: Markdown, hostile answers, answers to questions, rows, pictures."""

import asyncio
import re
from collections.abc import Sequence
from html import unescape

import pytest
from prompt_toolkit.application import Application
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from app.cli import markdown
from app.cli.markdown import PORTION, MarkdownFeed, portions, render, tail
from app.cli.overview_lines import Row, shown_rows
from app.cli.questions import read_question
from app.cli.screen_tasks import begin
from app.cli.top_screen import KEYS
from app.client.models import Question
from tests.pages import DOCS
from tests.unit.test_command_line import on_screen

ANSWER = """# Rivers

The **Danube** and the `Rhine`.

- one
- two

```python
print("[bold]")
```

The end.
"""


def test_blocks_are_handed_out_once_when_they_are_finished() -> None:
    feed, given = MarkdownFeed(), []
    for end in range(1, len(ANSWER) + 1):
        blocks, is_new = feed.take(ANSWER[:end])
        assert not is_new
        given += [blocks] if blocks else []
        assert "".join(given) + feed.rest == ANSWER[:end]
    last, _ = feed.take(ANSWER, is_end=True)
    assert [block.split("\n")[0] for block in given] == [
        "# Rivers",
        "The **Danube** and the `Rhine`.",
        "- one",
        "```python",
    ]
    assert (last, feed.rest) == ("The end.\n", "")


LONG = {
    "code": ("```py\n", "x = 1\n", "```\n"),
    "list": ("- first\n", "- item\n", ""),
    "table": ("| a | b |\n|---|---|\n", "| 1 | 2 |\n", ""),
    "paragraph": ("", "word ", "\n"),
    "letters": ("", "x", "\n"),
}


@pytest.mark.parametrize("kind", LONG)
def test_a_long_block_is_rendered_in_parts_that_begin_as_it_does(kind: str) -> None:
    first, line, last = LONG[kind]
    lines = 3 * PORTION // len(line)
    text = f"Before.\n\n{first}{line * lines}{last}\nAfter.\n"
    parts = list(portions(text))
    assert all(len(part) <= PORTION + len(first) for part, _ in parts)
    assert [begins for _, begins in parts] == [True, True, *[False] * (len(parts) - 3), True]
    head = first if kind in ("code", "table") else ""
    assert all(part.startswith(head) for part, _ in parts[1:-1])
    assert "".join(part for part, _ in parts).count(line) - (len(parts) - 3) * head.count(line) == lines
    end = tail(text[9:], 100)
    assert end.startswith(head)
    assert len(end) <= 200 + len(head)


def test_lines_are_those_of_markdown() -> None:
    """Python ends lines at more characters, such as this one between paragraphs."""
    feed = MarkdownFeed()
    assert feed.take("a\u2028b\x0cc\n\nd\n\ne") == ("a\u2028b\x0cc\n\nd\n\n", False)


def test_a_long_block_is_parsed_seldom_while_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    starts = markdown._starts

    def counted(text: str) -> Sequence[int]:
        parsed.append(len(text))
        return starts(text)

    monkeypatch.setattr(markdown, "_starts", counted)
    feed, text = MarkdownFeed(), "```py\n"
    for _ in range(2_000):
        text += "x = 1\n\n" * 10
        assert feed.take(text) == ("", False)
    assert sum(parsed) < 20 * len(text)
    assert feed.take(f"{text}```\n\nAfter.", is_end=True)[0].endswith("After.")


def test_a_later_attempt_repeats_nothing_and_says_when_it_differs() -> None:
    feed = MarkdownFeed()
    assert feed.take("One.\n\nTwo.\n\nThr") == ("One.\n\nTwo.\n\n", False)
    assert feed.take("") == ("", False)
    assert feed.take("One.\n\n") == ("", False)
    assert feed.take("One.\n\nTwo.\n\nThree.", is_end=True) == ("Three.", False)
    assert feed.take("Other.", is_end=True) == ("Other.", True)


def test_a_step_before_the_answer_stays_above_it() -> None:
    feed = MarkdownFeed()
    feed.take("Let me look.")
    assert feed.flush() == "Let me look."
    feed.keep("")
    assert feed.take("Found.", is_end=True) == ("Found.", False)


HOSTILE = (
    "a \x1b]8;;http://evil\x07z\x1b[2J &#27;[31m &#x9b;2J &#x202e;b [click](http://evil.example/?q=1) "
    "[bold]c[/bold]\n\n```\n\x1b[31mred\n```\n"
)


def test_a_hostile_answer_is_colours_and_text_only() -> None:
    """References such as &#x202e; become characters when Markdown is read."""
    terminal = on_screen(80, TERM="xterm-256color")
    shown = render(terminal.console(terminal.stdout), HOSTILE)
    assert "http://evil.example/?q=1" in shown
    assert "[bold]c[/bold]" in shown
    left = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", left)


@pytest.mark.parametrize(
    ("value", "typed", "answer"),
    [
        ("May I?", "Yes, but blue.", "Yes, but blue."),
        ({"question": "Which?", "choices": ["red", "blue"]}, "2", "blue"),
        ({"question": "Which?", "choices": ["red", "blue"]}, "RED", "red"),
        ({"question": "Which?", "choices": ["red", "blue"]}, "green", "green"),
        ({"text": "Pay?", "options": [{"label": "Yes", "value": True}]}, "yes", True),
        ({"action_requests": [{"name": "pay", "args": {"to": "Bo"}}]}, "approve", {"decisions": [{"type": "approve"}]}),
        (
            {"action_requests": [{"name": "a", "args": {}}, {"name": "b", "args": {}}]},
            "too dear",
            {"decisions": [{"type": "reject", "message": "too dear"}] * 2},
        ),
        ({"action_requests": "no list"}, "x", "x"),
        (["any", 1], "x", "x"),
    ],
)
def test_a_typed_answer_is_a_choice_a_decision_or_a_text(value: object, typed: str, answer: object) -> None:
    assert read_question(Question(id="q", value=value)).answer(typed) == answer


def test_a_question_is_shown_with_its_choices() -> None:
    asked = read_question(
        Question(id="q", value={"action_requests": [{"name": "pay", "args": {"to": "Bo", "sum": 3}}]})
    )
    assert asked.lines() == [
        'May the agent call pay(to="Bo", sum=3)?',
        "  1. approve",
        "  2. reject",
        "Anything else rejects with that reason.",
    ]
    assert read_question(Question(id="q", value=["any", 1])).text == '["any", 1]'


async def test_an_unexpected_error_ends_the_screen_and_is_raised() -> None:
    async def fail() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(int, "no number"))

    with create_pipe_input() as keys:
        app: Application[int] = Application(input=keys, output=DummyOutput())

        def start() -> None:
            begin(app, fail())

        with pytest.raises(ValueError, match="no number"):
            await app.run_async(pre_run=start)


@pytest.mark.parametrize("room", [3, 12, 40])
def test_the_chosen_message_is_always_on_the_screen(room: int) -> None:
    kinds = {"running": 5, "waiting": 50, "failed": 20}
    rows = [Row(kind, f"{kind}-{at}", "low", "a", "", "", None) for kind, count in kinds.items() for at in range(count)]
    for chosen in rows:
        shown = shown_rows(rows, room, chosen.message_id)
        assert chosen in shown
        assert {each.kind for each in shown} == set(kinds)
        assert len(shown) + len(kinds) <= max(room, 12)


def test_the_pictures_of_the_pages_show_what_is_drawn_and_load_nothing() -> None:
    """Draw them anew by `python -m tests.pictures` if this fails."""
    pictures = {
        path.stem: unescape(path.read_text("utf-8")).replace("\xa0", " ") for path in (DOCS / "images").glob("*.svg")
    }
    assert set(pictures) == {"chat", "top"}
    assert KEYS in pictures["top"]
    for word in ("queued", "asking", "last hour:", "PROBLEMS", "RUNNING", "WAITING", "FAILED", "WORKERS", "tok ~"):
        assert word in pictures["top"], word
    for word in ("/help names the commands", "⚙ timetable(", "Ctrl-C stops the answer", "queued behind: "):
        assert word in pictures["chat"], word
    for picture in pictures.values():
        assert not re.search(r"url\((?!#)|href|@import|@font-face", picture)
