"""Networks that mint, and the discriminators they are trained against."""
