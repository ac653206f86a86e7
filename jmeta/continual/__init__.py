"""Continual learning: meta-learned and closed-form learners of streams, whose support set is the stream in order."""
