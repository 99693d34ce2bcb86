//! The real binary, from outside: what a user types, and what must hold when processes, stores and networks fail.
//!
//! Each test starts its own processes on its own store. `FRAZIL_BIN` points them at another binary; `FRAZIL_CRASH_COUNT` and its like
//! make the short runs long. Start at `first_five_minutes`.

#[cfg(test)]
mod bucket;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod first_five_minutes;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod idle;
#[cfg(test)]
mod keeping;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod reading;
#[cfg(test)]
#[path = "../support/mod.rs"]
mod support;
#[cfg(test)]
mod two_gateways;
#[cfg(test)]
mod unsupported;

/// The path of a table of the default database.
#[cfg(test)]
pub(crate) fn table(name: &str) -> String {
    format!("/v1/databases/default/tables/{name}")
}
