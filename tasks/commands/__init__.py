"""The command line `remint`, and what is called by hand or by a schedule."""
