"""The pure core: no IO, clock, randomness, logging or await. Time comes in with entries, effects go out as commands."""
