"""The generator: its networks, images, objectives, training, and the trained model in use."""
