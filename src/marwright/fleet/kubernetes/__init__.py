"""Manifests for Kubernetes and KServe."""

from marwright.fleet.kubernetes.manifests import export_kubernetes

__all__ = ["export_kubernetes"]
