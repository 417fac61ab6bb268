"""What there is: models, kit types, locations, components."""
