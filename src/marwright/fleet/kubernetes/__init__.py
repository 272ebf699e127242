"""Manifests for Kubernetes and KServe."""
