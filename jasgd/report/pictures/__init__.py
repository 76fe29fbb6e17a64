"""The pictures of :mod:`jasgd.report`: one style, and a module for each kind."""
