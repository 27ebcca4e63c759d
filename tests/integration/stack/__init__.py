"""The deployment's processes without containers: what the compose file starts, started on this machine."""
