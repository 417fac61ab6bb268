"""Out to others: webhooks, mail, connectors to ticket systems, and platform alerts for an Alertmanager.

`relay` puts facts into queues (one for each outlet) and asks procrastinate for the work; `courier` runs that work in
every worker process; what is sent how stands in `webhooks`, `mail` and `connector`.
"""
