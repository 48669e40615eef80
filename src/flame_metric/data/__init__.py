"""Readers of label maps and videos; each file owns one heavy import."""

MAX_PIXELS = 64_000_000
"""Larger label maps are refused before they are decoded: a PNG of some kB can unpack to gigabytes."""
