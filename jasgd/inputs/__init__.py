"""Checking what users give: arguments, texts that name things with options, arrays, and files of text."""
