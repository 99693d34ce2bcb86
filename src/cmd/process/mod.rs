//! Running a process: everything in one, a gateway, a compactor.

pub(super) mod compactor;
pub(super) mod dev;
pub(super) mod gateway;
