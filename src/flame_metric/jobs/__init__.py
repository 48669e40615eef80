"""Whole jobs: folders or a network in, an evaluation out."""
