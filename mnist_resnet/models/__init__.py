"""Networks, and the files that trained ones are saved to."""
