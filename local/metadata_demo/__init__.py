"""`make demo-metadata`: 200 documents with wrong metadata, mended by the real function through real events."""
