"""Checkpoints while a run trains: saving it as it goes on, and beginning where another part of it has stopped."""
