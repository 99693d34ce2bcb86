//! The name of a table as a user types it: `clicks`, or `shop.clicks`.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// The database that an unqualified name means.
pub(crate) const DATABASE_DEFAULT: &str = "default";

/// A table in a database. Whether the names are well-formed is the gateway's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    /// The database.
    pub(crate) database: String,
    /// The table.
    pub(crate) table: String,
}

impl TableName {
    /// The parts of its URL's path, and what follows there.
    pub(crate) fn path<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        let mut parts = vec!["v1", "databases", &self.database, "tables", &self.table];
        parts.extend_from_slice(rest);
        parts
    }
}

impl FromStr for TableName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (database, table) = text.split_once('.').unwrap_or((DATABASE_DEFAULT, text));
        Ok(Self { database: database.to_owned(), table: table.to_owned() })
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.database != DATABASE_DEFAULT {
            write!(f, "{}.", self.database)?;
        }
        f.write_str(&self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unqualified_name_means_the_default_database() {
        for (text, database, table, shown) in [
            ("clicks", "default", "clicks", "clicks"),
            ("default.clicks", "default", "clicks", "clicks"),
            ("shop.clicks", "shop", "clicks", "shop.clicks"),
            ("shop.clicks.x", "shop", "clicks.x", "shop.clicks.x"),
        ] {
            let Ok(name) = text.parse::<TableName>();
            assert_eq!((name.database.as_str(), name.table.as_str()), (database, table));
            assert_eq!(name.to_string(), shown);
        }
    }
}
