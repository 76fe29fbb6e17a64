"""Running a recorded execution again: ``replay``."""
