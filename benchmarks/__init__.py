"""Measurements, not tests: ``python -m benchmarks video`` and ``python -m benchmarks memory``."""
