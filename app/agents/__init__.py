"""Agents: their interface, their registry, and how LangGraph runs them."""
