"""HTML and PNG of runs, backtests and evaluations."""
