"""What `remint` does where nobody says otherwise: light, since the command line reads it first."""

MAX_PIXELS = 100_000_000  # of a picture: a PNG of 59 KB may declare five times that
MAX_SECONDS = 1800.0  # that one picture of an inbox may take, looked at between its tiles
TILE = 768  # px, the largest side
