//! A fuzz target: bytes that have the right checksums, and nothing else right.
