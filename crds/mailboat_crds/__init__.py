"""The contract between people, operator and service: the kinds, their conditions, and what is wrong with a manifest.

The YAML beside this package is the same contract for Kubernetes; a test proves that they agree. Imports neither side.
"""

GROUP = "mailboat.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
