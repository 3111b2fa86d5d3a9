"""Fills, fees and funding to positions, profit and loss, and equity. Exact."""
