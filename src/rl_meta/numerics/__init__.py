"""Returns, surrogates, distributions, statistics: pure functions with their formulas."""
