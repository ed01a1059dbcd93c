"""Do minted images help a classifier? Arms, fits, paired outcomes and verdicts."""
