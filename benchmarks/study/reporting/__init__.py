"""What the study's runs say: statistics, verdicts, tables, pictures and the page."""
