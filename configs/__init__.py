"""Experiments, one config file each."""
