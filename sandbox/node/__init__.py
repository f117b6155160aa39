"""The real node of the sandbox: containerd, kubelet and kube-proxy, with the control plane, in namespaces of their own.

It is a test tool for one machine: one node, one kernel, no encryption between pods. It needs Linux and root.
"""
