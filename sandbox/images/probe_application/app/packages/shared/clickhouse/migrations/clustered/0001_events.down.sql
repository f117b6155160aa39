DROP TABLE probe_events ON CLUSTER default;
