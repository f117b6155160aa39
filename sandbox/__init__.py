"""A Kubernetes control plane and the Pulumi toolchain on one machine, without containers and without root.

For people who have no cluster, and for the tests. `python -m sandbox up` starts it; `sandbox.controlplane.Sandbox` is
the Python interface. Environment variables configure it:

SANDBOX_DIR         the sandbox's folder (default: `.sandbox` in the checkout)
LANGFUSE_CACHE_DIR  the folder for downloaded and built tools (default: the user's cache folder)
SANDBOX_OFFLINE     if set, tools are built from their Go modules without a download of official releases
GOPROXY, PIP_INDEX_URL and the other settings of Go and pip select the sources of modules and packages
"""
