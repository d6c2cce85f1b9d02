"""What `manage.py demo` starts, and how it makes sure that nothing of it stays behind."""
