//! Looking at a store itself: these need no running gateway.

pub(super) mod doctor;
pub(super) mod log;
pub(super) mod verify;
