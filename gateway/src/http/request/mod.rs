//! What every route does with a request: who may send it, its parameters and headers, its body.

pub(super) mod body;
pub(super) mod encoding;
pub(crate) mod guard;
pub(crate) mod json;
pub(crate) mod params;
