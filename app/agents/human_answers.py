"""Gives a human's answers to a graph, each to its own question only. See docs/adr/0028."""

import re
from collections.abc import Mapping
from threading import get_ident
from typing import Any

QUESTION_ID = re.compile(r"[0-9a-f]{32}")


class HumanAnswers(dict[str, Any]):
    """Answers by the ids of the questions, in the form that resumes a graph.

    An id is made of the task and the number of answers that the task has taken. LangGraph looks up the id of a task's
    next question. If there is no answer, it looks up the task's first question and would use that answer for the next.
    This mapping therefore finds nothing in the second lookup.

    Both lookups follow each other on one thread. If a later LangGraph looks up once, an answer is refused and the
    question is asked again; a question never gets another's answer.
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
