"""Who may connect to whom: network policies, the mesh, the public route, and the namespace with its quota."""
