CREATE TABLE api_keys (
  id TEXT PRIMARY KEY DEFAULT gen_random_uuid()::text,
  public_key TEXT NOT NULL UNIQUE,
  fast_hashed_secret_key TEXT UNIQUE,
  project_id TEXT NOT NULL REFERENCES probe_projects (id) ON DELETE CASCADE
);
