"""Formulas of a step-size function: how they are written, read and computed with."""
