"""Measurements, each one command; speed is given as a ratio within one run."""
