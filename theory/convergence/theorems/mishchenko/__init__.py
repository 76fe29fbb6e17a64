"""Theorems of Mishchenko, Bach, Even and Woodworth (2022), one file each; ``paper`` has what they share."""
