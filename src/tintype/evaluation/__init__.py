"""Measuring colourings: metrics on arrays, and the table that sets models side by side."""
