"""Programs: their nodes, the operators they call, their text and their serialized form."""
