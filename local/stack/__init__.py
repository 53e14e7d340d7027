"""The local stack: PostgreSQL, the Redshift Data API emulator and a patched MiniStack."""
