"""Benchmarks: each compares this package with what Django does alone, in one run on one machine."""
