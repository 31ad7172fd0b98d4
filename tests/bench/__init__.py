"""Measurements that are run by hand: what a year costs, what a second does."""
