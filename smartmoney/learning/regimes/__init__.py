"""Fitting the regime model: observations, an anchored hidden Markov model, names of its states, and their identity across retrains."""
