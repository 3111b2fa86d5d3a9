"""How many examples a property is tried on: all that its test names where everything is run (`make test-all`), half of them else."""

import os


def examples(all_of_them: int) -> int:
    """Return how many to try."""
    return all_of_them if os.environ.get("SMARTMONEY_EXAMPLES") == "thorough" else (all_of_them + 1) // 2
