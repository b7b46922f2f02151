"""What a user adds: a network, images, an optimiser and a tracker of their own, none of which the project knows."""
