"""Readers of label maps and videos; each file owns one heavy import."""

MAX_PIXELS = 64_000_000
"""Larger label maps are refused before they are decoded: a PNG of some kB can unpack to gigabytes."""

VIDEO_EXTENSIONS = (".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mts", ".ts", ".webm")
"""Ends of the names of video files, in lower case."""
