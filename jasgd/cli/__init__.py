"""The commands of ``jasgd``, one a file; :mod:`jasgd.cli.main` offers them."""
