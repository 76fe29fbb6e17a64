"""Compiled functions that runs of a process share, and that are kept on disk for later processes."""
