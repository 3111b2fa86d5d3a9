"""Orders' lives, protection of positions, reconciliation."""
