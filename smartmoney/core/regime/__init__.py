"""Online regime posterior. Until a model is trained, a named untrained prior."""
