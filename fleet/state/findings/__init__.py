"""Books against reality: where what kits report, or what time has brought, disagrees with the books."""
