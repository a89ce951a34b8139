"""The import of a retailer's year of invoices: read the file, sort it out, play it back, reconcile."""
