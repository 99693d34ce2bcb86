//! Rows in: from the bytes of a request to a record batch in the table's Arrow form.
//!
//! Start reading at [`decode`].

pub mod decode;
