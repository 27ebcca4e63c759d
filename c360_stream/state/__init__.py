"""What a run keeps: as bytes, in chunks, in snapshots, until it is published."""
