"""How long a mail takes from Django to an SMTP server, and what it costs: ours and Django's."""
