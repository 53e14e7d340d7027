"""What `make check` holds against the tree beside cargo: wording, policies, generated SQL, the state machine."""
