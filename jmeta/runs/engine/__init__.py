"""What trains any experiment and keeps it in a run folder; knows no area."""
