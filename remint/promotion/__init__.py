"""May a new model take the place of the champion? Rules that were fixed before anyone looked."""
