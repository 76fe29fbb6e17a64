"""How a folder or a file is saved so that it is the old or the new one whole, and read so that damage is found."""
