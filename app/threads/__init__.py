"""Finds the conversations of threads, makes threads, and answers messages anew."""
