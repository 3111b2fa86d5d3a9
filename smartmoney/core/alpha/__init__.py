"""Features to opportunities. Until a model is trained, a named untrained prior."""
