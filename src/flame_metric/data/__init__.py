"""Readers of label maps and videos; each file owns one heavy import."""
