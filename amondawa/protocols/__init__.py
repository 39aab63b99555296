"""Protocol adapters: request to model, result to wire. One package a dialect; they never import one another."""
