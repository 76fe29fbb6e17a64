"""Rules held against each other: comparisons on threads, spectra over numbers of workers, and what follows."""
