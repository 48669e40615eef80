"""Readers of label maps and videos; each file owns one heavy import."""

MAX_PIXELS = 64_000_000
"""Larger label maps are refused before they are decoded: a PNG of some kB can unpack to gigabytes."""

MAX_IMAGE_BYTES = 4 * MAX_PIXELS
"""Larger image files are refused: 16-bit labels of so many pixels, not compressed at all, take half of it."""

VIDEO_EXTENSIONS = (".avi", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mts", ".ts", ".webm")
"""Ends of the names of video files, in lower case."""
