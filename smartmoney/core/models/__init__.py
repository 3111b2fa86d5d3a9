"""Trained models as plain arrays: what a bundle holds, and the one compiled call that makes a decision's forecasts of it."""
