"""Boosted forests on the stages' columns: the regime classifier, the detector of informed flow, a forecast per horizon."""
