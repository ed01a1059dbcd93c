"""Prefect flows: when and where stages run."""
