"""Stages: files in, files out, one module each."""
