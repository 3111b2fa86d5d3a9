"""Datasets, labels, validation, training, promotion. Runs in a process of its own; the core never imports it."""
