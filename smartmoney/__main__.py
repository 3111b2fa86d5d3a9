"""Run the command line: `python -m smartmoney`."""

from smartmoney.cli.main import main

if __name__ == "__main__":
    main()
