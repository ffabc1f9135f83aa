//! Wires the stages together and owns the order of start and stop.
