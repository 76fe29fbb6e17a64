"""``python -m jasgd`` is the command ``jasgd``."""

from jasgd.cli.main import command

if __name__ == "__main__":
    command()
