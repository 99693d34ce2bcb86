//! The routes about the process itself: whether it lives, what it offers, and what it answers where there is no route.

pub(super) mod aside;
pub(super) mod fallback;
pub(super) mod health;
pub(super) mod members;
pub(super) mod openapi;
