"""Gives each of a human's answers to its own question. See docs/adr/0028."""

import re
from collections.abc import Mapping
from threading import get_ident
from typing import Any

QUESTION_ID = re.compile(r"[0-9a-f]{32}")


class HumanAnswers(dict[str, Any]):
    """Answers by the ids of their questions, in the form that resumes a graph.

    LangGraph looks up each question of a task by its id. If the id is missing, LangGraph looks up the task's first
    question and would reuse the first answer. After each miss, this mapping therefore reports the next lookup as a miss
    too.

    Both lookups run one after the other on the same thread. If a later LangGraph looks up only once, an answer may be
    ignored and its question asked again. No question ever gets another question's answer.
    """

    def __init__(self, answers: Mapping[str, Any]) -> None:
        super().__init__({key: value for key, value in answers.items() if QUESTION_ID.fullmatch(key)})
        self._missed: set[int] = set()

    def __contains__(self, question: object) -> bool:
        thread = get_ident()
        if thread in self._missed:
            self._missed.remove(thread)
            return False
        found = super().__contains__(question)
        if not found:
            self._missed.add(thread)
        return found
