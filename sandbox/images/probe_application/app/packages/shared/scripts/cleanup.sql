-- Removes the records of migrations that no longer exist. The entrypoint runs it before it migrates.
DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM information_schema.tables WHERE table_name = '_prisma_migrations') THEN
    DELETE FROM _prisma_migrations WHERE migration_name IN ('20261031000000_removed_from_the_release');
  END IF;
END $$;
