"""Step sizes that adapt to the distance between where a gradient was computed and where it is applied."""
