"""Mass events on the database: what explains them, who belongs to them, when they end."""
