"""Kubernetes: how the API server is called and watched, and what its conventions ask of a status and of Events."""
