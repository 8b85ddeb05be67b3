"""Measurements: the product against its physical limits, as ratios within one run. See `python -m bench --help`."""
