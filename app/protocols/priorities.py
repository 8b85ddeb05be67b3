"""Reads the priority of a request from a header, which clients of every surface can send."""

from typing import Annotated

from fastapi import Header

from ..models.messages import Priority

PriorityDep = Annotated[Priority | None, Header(alias="X-AgentQ-Priority")]
"""The priority that the header names; None without the header."""
