CREATE TABLE probe_media (
  project_id TEXT NOT NULL REFERENCES probe_projects (id) ON DELETE CASCADE,
  id TEXT NOT NULL,
  content_type TEXT NOT NULL,
  content_length BIGINT NOT NULL,
  upload_status INTEGER,
  PRIMARY KEY (project_id, id)
);

CREATE TABLE probe_exports (
  id TEXT PRIMARY KEY,
  project_id TEXT NOT NULL REFERENCES probe_projects (id) ON DELETE CASCADE,
  object_key TEXT,
  rows INTEGER,
  created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
