"""Networks, and the model files that trained networks are saved to."""
