"""`make demo-metadata`: 208 documents with invalid metadata, fixed by the deployed function through events."""
