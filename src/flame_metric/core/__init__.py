"""What a count is: labels, counts, exact time and schedules. NumPy."""
