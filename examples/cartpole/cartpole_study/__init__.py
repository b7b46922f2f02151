"""REINFORCE on CartPole: a study of reinforcement learning."""
