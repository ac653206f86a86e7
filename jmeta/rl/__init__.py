"""Meta-reinforcement learning."""
