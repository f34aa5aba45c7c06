"""Limits shared by all replicas."""
