"""Measurements: what the product adds over its physical limits, as ratios within one run. `python -m bench --help`."""
