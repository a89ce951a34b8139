"""Measurements: each module gives the figures of one row of the table of goals."""
