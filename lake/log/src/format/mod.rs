//! Bytes: what every object in the bucket looks like. PURE.
pub mod slice;
