CREATE TABLE probe_api_keys (
  public_key TEXT PRIMARY KEY,
  secret_key_hash TEXT NOT NULL,
  project_id TEXT NOT NULL REFERENCES probe_projects (id) ON DELETE CASCADE
);
