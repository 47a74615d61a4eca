"""The wire: frames of bytes, values as parts, messages as frames.  No I/O and no clock."""
