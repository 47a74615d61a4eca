"""Benchmarks: each prints figures and ratios of one run, `python -m benchmarks.<name>`."""
