"""The storm of `tests.chaos` over this package and over others that queue mail."""
