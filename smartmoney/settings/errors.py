"""What is wrong with a configuration, in one line."""


class ConfigurationError(Exception):
    """Report a configuration that cannot be used: the key, what is wrong with it, and what to do. The process ends with 78.

    `others` holds the further problems of the same configuration, each as its own error.
    """

    exit_code = 78

    def __init__(self, key: str, problem: str, remedy: str, others: "tuple[ConfigurationError, ...]" = ()) -> None:
        self.key = key
        self.problem = problem
        self.remedy = remedy
        self.others = others
        more = f" ({len(others)} more: smartmoney config check --json lists all)" if others else ""
        super().__init__(" ".join(f"{key}: {problem}; {remedy}{more}".split()))
