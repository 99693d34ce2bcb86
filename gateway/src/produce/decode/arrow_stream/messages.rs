//! The messages of a stream that come one by one, as Arrow Flight sends them: metadata and body apart, without framing.
//!
//! Invariants: as of a whole stream; and the dictionaries that are kept between batches take no more than one batch may.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{read_dictionary, read_record_batch};
use arrow::ipc::{Message, root_as_message};
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use frazil_log::schema::infer::infer_columns_from_arrow;
use frazil_log::schema::{Column, Schema};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{caught, convert, guard, is_pseudo, problem, refuse_twins};
use crate::error::Problem;
use crate::produce::decode::Limits;
use crate::produce::decode::errors::{Budget, Stop};

/// A stream's schema, and the dictionaries that its batches refer to.
#[derive(Debug)]
pub(crate) struct Messages {
    schema: SchemaRef,
    /// Hash of the message that the schema came in.
    schema_hash: u128,
    dictionaries: HashMap<i64, ArrayRef>,
    /// Of each dictionary: what it claimed in memory, and the hash of the messages that made it.
    held: HashMap<i64, (usize, u128)>,
    limits: Limits,
}

/// What a message was.
#[derive(Debug)]
pub(crate) enum Read {
    /// A dictionary, kept.
    Dictionary,
    /// Rows, as the client typed them.
    Batch(RecordBatch),
}

impl Messages {
    /// Reads the message that a stream begins with.
    pub(crate) fn open(metadata: &[u8], limits: Limits) -> Result<Self, Problem> {
        let read = caught(|| {
            let message = message(metadata)?;
            let schema =
                message.header_as_schema().ok_or_else(|| guard::broken("it does not begin with a schema"))?;
            let schema: SchemaRef = Arc::new(fb_to_schema(schema));
            refuse_twins(&schema)?;
            Ok(schema)
        });
        let schema = read.map_err(|stop| problem(stop, &limits))?;
        let schema_hash = xxh3_128(metadata);
        Ok(Self { schema, schema_hash, dictionaries: HashMap::new(), held: HashMap::new(), limits })
    }

    /// The columns of the table that the schema describes.
    pub(crate) fn infer(&self) -> Result<Vec<Column>, Problem> {
        let user = self.schema.fields().iter().filter(|field| !is_pseudo(field.name()));
        Ok(infer_columns_from_arrow(&ArrowSchema::new(user.cloned().collect::<Vec<_>>()))?)
    }

    /// Reads a message after the schema.
    pub(crate) fn read(&mut self, metadata: &[u8], body: &Bytes) -> Result<Read, Problem> {
        let limits = self.limits;
        caught(|| self.read_checked(metadata, body)).map_err(|stop| problem(stop, &limits))
    }

    fn read_checked(&mut self, metadata: &[u8], body: &Bytes) -> Result<Read, Stop> {
        let message = message(metadata)?;
        let length = usize::try_from(message.bodyLength()).ok().filter(|length| *length <= body.len());
        let length = length.ok_or_else(|| guard::broken("a message whose body is cut"))?;
        let body = body.slice(..length);
        let mut budget = Budget::new(self.limits.decoded_bytes_max);
        guard::check_message(&message, &body, false, &mut budget)?;
        let claimed = self.limits.decoded_bytes_max - budget.left();
        let buffer = Buffer::from(body.clone());
        if let Some(batch) = message.header_as_record_batch() {
            let schema = Arc::clone(&self.schema);
            let read =
                read_record_batch(&buffer, batch, schema, &self.dictionaries, None, &message.version());
            return Ok(Read::Batch(read.map_err(unreadable)?));
        }
        let Some(batch) = message.header_as_dictionary_batch() else {
            return Err(guard::broken("a message that is neither dictionary nor record batch"));
        };
        let before = self.held.get(&batch.id()).filter(|_| batch.isDelta()).copied().unwrap_or_default();
        let others: usize =
            self.held.iter().filter(|(id, _)| **id != batch.id()).map(|(_, (claimed, _))| claimed).sum();
        let claimed = before.0.saturating_add(claimed);
        if others.saturating_add(claimed) > self.limits.decoded_bytes_max {
            return Err(Stop::TooLarge);
        }
        let mut hash = Xxh3::new();
        hash.update(&before.1.to_le_bytes());
        hash.update(metadata);
        hash.update(&body);
        read_dictionary(&buffer, batch, &self.schema, &mut self.dictionaries, &message.version())
            .map_err(unreadable)?;
        self.held.insert(batch.id(), (claimed, hash.digest128()));
        Ok(Read::Dictionary)
    }

    /// XXH3-128 of all that says what the rows of a batch are (rule 3): a retry sends the same.
    pub(crate) fn hash(&self, parameters: &str, metadata: &[u8], body: &[u8]) -> u128 {
        let mut hash = Xxh3::new();
        hash.update(parameters.as_bytes());
        hash.update(&self.schema_hash.to_le_bytes());
        let mut held: Vec<_> = self.held.iter().map(|(id, (_, hash))| (id, hash)).collect();
        held.sort_unstable();
        for (id, dictionary) in held {
            hash.update(&id.to_le_bytes());
            hash.update(&dictionary.to_le_bytes());
        }
        hash.update(&(metadata.len() as u64).to_le_bytes());
        hash.update(metadata);
        hash.update(body);
        hash.digest128()
    }

    /// Casts a batch to the table's Arrow form.
    pub(crate) fn cast(&self, batch: RecordBatch, schema: &Schema) -> Result<RecordBatch, Problem> {
        let mut budget = Budget::new(self.limits.decoded_bytes_max);
        caught(|| convert(&[batch], schema, &mut budget)).map_err(|stop| problem(stop, &self.limits))
    }
}

fn message(metadata: &[u8]) -> Result<Message<'_>, Stop> {
    root_as_message(metadata).map_err(|error| guard::broken(&format!("metadata: {error}")))
}

fn unreadable(error: ArrowError) -> Stop {
    Problem::malformed(format!("the Arrow stream cannot be read: {error}")).into()
}
