"""What the command line answers before a command runs: help, versions, bad options, and the checker's commands."""
