"""The restorer: its networks, pairs, objective and training, and the trained model in use."""
