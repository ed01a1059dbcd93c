"""Figures and tables of the evaluating stages."""
