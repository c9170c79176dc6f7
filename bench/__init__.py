"""Measurements: `python -m bench` runs all, `python -m bench NAME` one. Figures: docs/benchmarks.md."""
