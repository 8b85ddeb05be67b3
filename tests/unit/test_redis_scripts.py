"""What the server is given of the Lua scripts."""

import re

import pytest

from app.store.redis.scripts import load_scripts


@pytest.mark.parametrize("name", sorted(load_scripts()))
def test_a_script_has_no_function_that_it_does_not_call(name: str) -> None:
    text = load_scripts()[name].text
    for function in re.findall(r"^local function (\w+)", text, re.MULTILINE):
        assert len(re.findall(rf"\b{function}\b", text)) > 1, function
