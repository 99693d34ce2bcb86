//! An object store that remembers: memory and SSD in front of another.
