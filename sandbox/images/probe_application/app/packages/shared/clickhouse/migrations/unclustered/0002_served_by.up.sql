ALTER TABLE probe_events ADD COLUMN IF NOT EXISTS `web` LowCardinality(String) AFTER body;
ALTER TABLE probe_events ADD COLUMN IF NOT EXISTS `worker` LowCardinality(String) AFTER web;
