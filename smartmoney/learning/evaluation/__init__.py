"""How good a bundle is on what it was not trained on: held-out worlds, the exact oracle, recordings, worlds with nothing to find."""
