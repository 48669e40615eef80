"""A schedule and counts become a score."""
