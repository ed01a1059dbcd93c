"""Images and sets of them: read, fitted, written, paired, marked."""
