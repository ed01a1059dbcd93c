"""Restoration networks and discriminators."""
