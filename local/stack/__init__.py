"""The laptop's AWS: PostgreSQL, the Redshift Data API stand-in and a mended MiniStack, started and stopped as one."""
