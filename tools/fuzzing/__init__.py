"""A fuzzer of whatever reads files from strangers; ``tools/fuzz.py`` is its command."""
