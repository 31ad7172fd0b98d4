"""Measurements: ``make bench`` runs them all, and tells of each beside another way to do the same."""
