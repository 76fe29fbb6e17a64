"""The study's runs: arms, executions, the engine that follows them, threads, and the files that keep what came out."""
