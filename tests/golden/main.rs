//! Golden files: bytes of each format version ever written, which are read for ever and never change.
//!
//! ```text
//! {format}/v{version}/{name}.bin     an object      {name}.json    what it says
//! log/v{version}/small/{slot}.bin    a whole log    small.json     each slot's verdicts and log hash, and the state at its end
//! XXH3SUMS                           XXH3-128 of every .bin
//! ```
//!
//! `UPDATE_GOLDEN=1` adds files that are missing and never writes over one. A rendering may change with the words it uses
//! (delete it and add it anew); an object may not: its sum is checked. Start reading at [`files`].

#[cfg(test)]
mod files;
#[cfg(test)]
mod log;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod render;
#[cfg(test)]
mod rows;
