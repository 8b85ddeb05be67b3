"""Shared by the stores on SQL databases; each dialect has its statements in the folder of its name."""
