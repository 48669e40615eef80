"""When an answer is there: traces, how they are measured, and streams simulated from them."""
