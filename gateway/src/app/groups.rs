//! Groups, as the doors speak of them: stored positions by table name, and how far behind they are.

use std::collections::BTreeMap;

use frazil_log::format::positions::ExpectedPosition;
use frazil_log::id::{Name, Offset, TimeMicros};

use crate::consume::position::Position;

/// Which groups to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupList {
    /// Only names that begin with this.
    pub prefix: String,
    /// Only names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A page of a list of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// The groups, sorted by name; the age of what they have not read is not looked up.
    pub groups: Vec<Group>,
    /// The name to go on after, if there are more.
    pub next: Option<String>,
}

/// A group, described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its database.
    pub database: Name,
    /// Its name.
    pub name: Name,
    /// Which of the groups that ever had this name it is.
    pub generation: u64,
    /// When something was last stored.
    pub stored: TimeMicros,
    /// Where it stands in each table that is there.
    pub tables: BTreeMap<Name, GroupTable>,
}

/// Where a group stands in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupTable {
    /// The stored offsets.
    pub position: Position,
    /// How far behind the tail that is.
    pub lag: Lag,
}

/// How far behind the tail a group is. A bucket without a stored offset counts from its earliest row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Rows up to the tail.
    pub rows: Offset,
    /// Microseconds since the first of them was committed; 0 if there is none, nothing if it was not looked up.
    pub micros: Option<i64>,
}

/// Where a group is to stand in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// The table.
    pub table: Name,
    /// The offsets to store; buckets that are not named stay as they are.
    pub position: Position,
    /// What must be stored before.
    pub expected: ExpectedPosition,
}

/// Positions to store in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreGroup {
    /// The database.
    pub database: Name,
    /// The group; it comes to be if it is not there.
    pub group: Name,
    /// Only if the group has this generation.
    pub if_generation: Option<u64>,
    /// Where it stands from now on.
    pub positions: Vec<Stand>,
}
