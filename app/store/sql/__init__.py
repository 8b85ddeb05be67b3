"""Shared by the SQL stores. Each dialect keeps its statements in the folder of its name."""
