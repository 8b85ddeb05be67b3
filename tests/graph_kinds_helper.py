"""A module that `tests.graph_kinds` imports relatively."""


def shouted(text: str) -> str:
    """The text in capitals."""
    return text.upper()
