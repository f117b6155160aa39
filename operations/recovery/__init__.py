"""Recovers a stack from a command that was killed: its lock, and operations that were started and not finished.

The engine records each operation before it starts and again when it has finished. An operation without an end is
*pending* in the state. An update or a deletion concerns an object that the state has, so reading it again is enough. A
creation does not: if the object was created, every later `pulumi up` ends with "already exists". Its name is known, so
recovery looks it up in the cluster.

`pulumi refresh --import-pending-creates` does not help: it drops the operation without adding the object to the state
(seen with Pulumi 3.258).
"""
