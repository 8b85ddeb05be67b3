"""Agents: what they are, which there are, and how LangGraph runs them."""
