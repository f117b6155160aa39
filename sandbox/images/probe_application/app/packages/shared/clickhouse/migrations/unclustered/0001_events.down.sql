DROP TABLE probe_events;
