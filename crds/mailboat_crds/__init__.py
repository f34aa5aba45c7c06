"""The contract between people, operator and service: names that all three share. Imports neither side."""

GROUP = "mailboat.dev"
VERSION = "v1alpha1"
