"""Networks that restore, and the discriminators they are trained against."""
