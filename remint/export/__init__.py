"""Minted images filtered, marked as synthetic and written for others."""
