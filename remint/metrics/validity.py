"""The least number of images a side from which each distance between sets may be quoted."""

KID_LEAST = 200
NEIGHBOURS_LEAST = 500  # precision, recall, density and coverage
FD_TREND = 1000  # a Frechet distance to compare runs by
FD_FIGURE = 5000  # and one to quote
