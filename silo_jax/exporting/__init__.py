"""Trained networks out of a run's directory: into Python, and into files of several formats."""
