"""Arrays, atomic files, randomness, worker processes and devices: what every room stands on."""
