"""What runs in the images of ClickHouse: its real engine (chdb) behind the interfaces of its server, client and Keeper.

These modules import only the standard library and `chdb`. They are installed in the images, whose Python is Debian's.

What a test with them proves: the pods, files, scripts and probes of the program with the real engine, its SQL, its
storage on a volume, its grants and its backups. What it does not prove:

- Replication. The engine of chdb can't replicate, so statements are replayed on the other replicas (`replication.py`).
  Values that a statement computes, such as `now()` in a default, may differ between replicas. Inserts and mutations
  that reach two replicas at the same time may be applied in another order on each.
- Keeper. It stores the names of replicas, without Raft (`keeper.py`).
- The native protocol. Port 9000 has a protocol of our own (`native.py`), which only our own clients speak.
- Grants on system tables. The engine lets every user read those that need no special privilege.
- The release. It is that of chdb, not that of the image's tag.
- `clusterAllReplicas`, which asks only the replica that gets the query.
"""
