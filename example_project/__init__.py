"""A Django project that runs django_authmail as a mail service of its own."""
