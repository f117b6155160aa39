"""The ways in from outside: Istio, the Gateway API, an ingress controller, or none."""
