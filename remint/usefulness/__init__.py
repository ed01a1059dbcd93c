"""Does a synthetic set make a classifier better? Arms, paired fits, intervals, verdicts."""
