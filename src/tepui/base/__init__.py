"""What every other package stands on: steps, ids, durations, errors."""
