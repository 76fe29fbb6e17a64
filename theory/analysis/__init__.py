"""What is true of a formula under a law: values, bounds, tails, means."""
