"""Opportunities to signals: the rules, the gates in order, the built-in strategy and the base of a user's own."""
