CREATE TABLE probe_users (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password_hash TEXT NOT NULL);

CREATE TABLE probe_memberships (
  organization_id TEXT NOT NULL REFERENCES probe_organizations (id) ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES probe_users (id) ON DELETE CASCADE,
  role TEXT NOT NULL,
  PRIMARY KEY (organization_id, user_id)
);
