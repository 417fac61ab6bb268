"""What `fleet doctor` looks at: each check gives findings in plain words."""
