"""From whatever a user has to a clean image set."""
