"""Frozen types: instruments, inbox entries, commands, orders, fills, signals, and their codec. Imports nothing of the house."""
