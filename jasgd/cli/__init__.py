"""The command line ``jasgd``: one file a subcommand, their common options and output, and ``main`` that runs them."""
