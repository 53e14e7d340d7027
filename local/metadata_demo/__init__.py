"""`make demo-metadata`: 200 documents with invalid metadata, fixed by the deployed function through events."""
