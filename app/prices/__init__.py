"""Prices of models: the table of this package, the file that PRICES names, and what a call costs by them."""
