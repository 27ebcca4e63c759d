"""A run as processes: started, watched, resumed, ended."""
