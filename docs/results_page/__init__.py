"""Writes results.md and its figures, from what the studies left in benchmarks/results/studies.

    python -m docs.results_page

The text is that of page.md.jinja; all numbers in it, and the verdicts, are computed here. A test of
the documentation compares the page with what the studies have left.
"""
