CREATE TABLE probe_events ON CLUSTER default (
    `project_id` String,
    `kind` LowCardinality(String),
    `id` String,
    `trace_id` String,
    `name` String,
    `body` String CODEC(ZSTD(3)),
    `timestamp` DateTime64(3),
    `event_ts` DateTime64(3),
    `is_deleted` UInt8
) ENGINE = ReplicatedReplacingMergeTree(event_ts, is_deleted)
ORDER BY (project_id, trace_id, kind, id);
