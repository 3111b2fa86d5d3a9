"""One command of the command line, run in this process."""

import sys

import pytest

from smartmoney.cli import main as command_line


@pytest.fixture
def call(monkeypatch, capsys):
    """Run one command in this process; return exit code, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["smartmoney", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run
