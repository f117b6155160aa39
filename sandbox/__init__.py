"""A Kubernetes control plane and the Pulumi toolchain on one machine, without containers and without root.

For people who have no cluster, and for the tests. `python -m sandbox up` starts it; see `sandbox.controlplane.Sandbox`
for the importable side. These variables change where things lie and what is tried:

SANDBOX_DIR         the sandbox's folder; by default `.sandbox` in the checkout
LANGFUSE_CACHE_DIR  the folder of downloaded and built tools; by default the user's cache folder
SANDBOX_OFFLINE     when set, official releases are not tried: the tools are built from their Go modules
GOPROXY, PIP_INDEX_URL and the other settings of Go and pip say where modules and packages come from
"""
