CREATE TABLE probe_organizations (id TEXT PRIMARY KEY, name TEXT NOT NULL);

CREATE TABLE probe_projects (
  id TEXT PRIMARY KEY,
  organization_id TEXT NOT NULL REFERENCES probe_organizations (id) ON DELETE CASCADE,
  name TEXT NOT NULL
);
