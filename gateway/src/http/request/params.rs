//! Parameters and headers, read strictly: what is not known is refused by name, never ignored.
//!
//! One vocabulary for every door: a query string and the members of a JSON object (a Flight ticket) are the same parameters.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, Uri, header};
use frazil_log::id::{Bucket, Name, Offset};
use frazil_log::schema::options::parse_duration;
use serde_json::{Map, Value};

use crate::app::{Consume, GroupList, Producer, Table, TableList};
use crate::consume::encode::Format;
use crate::consume::encode::projection::Projection;
use crate::consume::filter::Filter;
use crate::consume::follow::Style;
use crate::consume::position::{From, Position};
use crate::error::{Kind, Problem};
use crate::produce::decode;

/// Rows of an answer, if the client does not say.
const LIMIT_DEFAULT: u64 = 1000;
/// The most rows of an answer.
const LIMIT_MAX: u64 = 100_000;
/// Bytes of an answer, if the client does not say.
const BYTES_DEFAULT: usize = 8 << 20;
/// The most bytes of an answer.
const BYTES_MAX: usize = 64 << 20;
/// The longest long poll.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// The longest that a client may ask a produce to take.
const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// The longest `Producer-Id`, in bytes.
const PRODUCER_ID_BYTES_MAX: usize = 128;

/// The media type of server-sent events.
pub(in crate::http) const EVENTS: &str = "text/event-stream";

/// Parameters of api.md that are not there yet, on any route.
const PLANNED: [&str; 6] = ["at_least", "consistency", "op", "freshness", "database", "q"];

/// The parameters of a query string, each at most once.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl Params {
    /// Reads a URL's query string.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) = query.map_err(|error| Problem::malformed(format!("the query string: {error}")))?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if pairs[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::malformed(format!("parameter {name} is given twice")));
            }
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    /// Reads the members of a JSON object, each written as it would stand in a query string.
    pub(crate) fn of_members(members: Map<String, Value>) -> Result<Self, Problem> {
        let mut pairs = Vec::with_capacity(members.len());
        for (name, value) in members {
            let text = text_of(&name, value)?;
            pairs.push((name, text));
        }
        Ok(Self { pairs, known: Vec::new() })
    }

    /// Takes a parameter's text.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let at = self.pairs.iter().position(|(given, _)| given == name)?;
        Some(self.pairs.swap_remove(at).1)
    }

    /// Takes a parameter as something that it is read as.
    fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        self.take(name).map(|text| read(&text)).transpose()
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let flag = self.read(name, |text| match text {
            "true" | "1" | "" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(Problem::malformed(format!("{name}={text:?}: write true or false"))),
        })?;
        Ok(flag.unwrap_or(false))
    }

    fn number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        self.read(name, |text| {
            digits(text).ok_or_else(|| Problem::malformed(format!("{name}={text:?}: write a whole number")))
        })
    }

    fn duration(&mut self, name: &'static str, most: Duration) -> Result<Option<Duration>, Problem> {
        self.read(name, |text| {
            let duration = match text {
                "0" | "0s" | "0ms" => Duration::ZERO,
                text => {
                    parse_duration(text).map_err(|error| Problem::malformed(format!("{name}: {error}")))?
                }
            };
            if duration > most {
                return Err(Problem::malformed(format!("{name}={text}: at most {} s", most.as_secs())));
            }
            Ok(duration)
        })
    }

    fn bucket(&mut self) -> Result<Option<Bucket>, Problem> {
        let number = self.number("bucket")?;
        let too_high = |_| Problem::new(Kind::NoSuchBucket, "no table has a bucket of that number");
        number.map(|number| u32::try_from(number).map(Bucket).map_err(too_high)).transpose()
    }

    /// Refuses what was not taken.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.pairs.first() else {
            return Ok(());
        };
        if PLANNED.contains(&name.as_str()) || name == "columns" {
            return Err(Problem::unsupported(format!(
                "parameter {name} is not supported here in this version"
            )));
        }
        let known = if self.known.is_empty() { "none".to_owned() } else { self.known.join(", ") };
        Err(Problem::unsupported(format!("parameter {name:?} is not known here; this route takes: {known}")))
    }
}

/// The tails that a writer expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ExpectedOffset {
    /// Of the only bucket, or of the one that `bucket` names.
    Number(Offset),
    /// Of each bucket named.
    Position(Position),
}

/// The parameters of a produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProduceParams {
    pub(crate) bucket: Option<Bucket>,
    pub(crate) expected_offset: Option<ExpectedOffset>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) create: bool,
    /// What the body is, whatever its Content-Type says.
    pub(crate) format: Option<decode::Format>,
}

impl ProduceParams {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        Self::read(Params::of(uri)?)
    }

    /// Reads the parameters, from wherever they came.
    pub(crate) fn read(mut params: Params) -> Result<Self, Problem> {
        let read = Self {
            bucket: params.bucket()?,
            expected_offset: params.read("expected_offset", ExpectedOffset::of)?,
            timeout: params.duration("timeout", TIMEOUT_MAX)?,
            create: params.flag("create")?,
            format: params.read("format", decode::Format::named)?,
        };
        params.finish()?;
        if read.timeout == Some(Duration::ZERO) {
            return Err(Problem::malformed("timeout=0: an append takes longer than that"));
        }
        Ok(read)
    }
}

/// The parameters of an atomic write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct WriteParams {
    pub(in crate::http) timeout: Option<Duration>,
    pub(in crate::http) create: bool,
}

impl WriteParams {
    pub(in crate::http) fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut params = Params::of(uri)?;
        let read = Self { timeout: params.duration("timeout", TIMEOUT_MAX)?, create: params.flag("create")? };
        params.finish()?;
        if read.timeout == Some(Duration::ZERO) {
            return Err(Problem::malformed("timeout=0: a write takes longer than that"));
        }
        Ok(read)
    }
}

impl ExpectedOffset {
    /// An offset or a position.
    pub(crate) fn of(text: &str) -> Result<Self, Problem> {
        match digits(text) {
            Some(offset) => Ok(Self::Number(offset)),
            None => text.parse().map(Self::Position),
        }
    }

    /// The tails by bucket.
    pub(crate) fn resolve(&self, bucket: Option<Bucket>, buckets: u32) -> Result<Position, Problem> {
        match (self, bucket) {
            (Self::Number(offset), Some(bucket)) => Ok(Position([(bucket, *offset)].into())),
            (Self::Number(offset), None) if buckets == 1 => Ok(Position([(Bucket(0), *offset)].into())),
            (Self::Number(offset), None) => Err(Problem::malformed(format!(
                "expected_offset={offset}: the table has {buckets} buckets, so write a position (0:43,1:17) or name the bucket"
            ))),
            (Self::Position(position), _) => {
                check_buckets(position, buckets)?;
                Ok(position.clone())
            }
        }
    }
}

/// The parameters of a consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumeParams {
    pub(crate) from: From,
    pub(crate) group: Option<Name>,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) columns: String,
    pub(crate) limit: usize,
    pub(crate) bytes_max: usize,
    pub(crate) wait: Duration,
    pub(crate) follow: bool,
    /// Events, which never end: where the last one that the client has seen was.
    pub(crate) events: bool,
    pub(crate) filter: Option<String>,
    pub(crate) format: Format,
}

impl ConsumeParams {
    /// Reads the parameters of a URL; `columns` are those of an answer if the client does not say.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, columns: &str) -> Result<Self, Problem> {
        let mut params = Params::of(uri)?;
        if !params.pairs.iter().any(|(name, _)| name == "columns") {
            params.pairs.push(("columns".to_owned(), columns.to_owned()));
        }
        let mut events = false;
        let mut read = Self::read(params, |asked, follow| {
            events = is_events(asked, headers);
            if events { Ok(Format::Ndjson) } else { answer_format(asked, headers, follow) }
        })?;
        read.events = events;
        if events && let Some(id) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
            let id = id.to_str().map_err(|_| Problem::malformed("header Last-Event-ID is not text"))?;
            read.from = From::Position(id.parse()?);
        }
        Ok(read)
    }

    /// Reads the parameters, from wherever they came; the door knows which formats it answers in.
    pub(crate) fn read(
        mut params: Params,
        format: impl FnOnce(Option<&str>, bool) -> Result<Format, Problem>,
    ) -> Result<Self, Problem> {
        let limit = params.number("limit")?.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::malformed(format!("limit={limit}: from 1 to {LIMIT_MAX}")));
        }
        let follow = params.flag("follow")?;
        let asked = params.take("format");
        let read = Self {
            from: params.read("from", str::parse)?.unwrap_or(From::Earliest),
            group: params.read("group", name)?,
            bucket: params.bucket()?,
            columns: params.take("columns").unwrap_or_else(|| "*".to_owned()),
            limit: usize::try_from(limit).map_err(|_| Problem::malformed("limit"))?,
            bytes_max: params.read("max_bytes", size)?.unwrap_or(BYTES_DEFAULT),
            wait: params.duration("wait", WAIT_MAX)?.unwrap_or_default(),
            follow,
            events: false,
            filter: params.take("filter"),
            format: format(asked.as_deref(), follow)?,
        };
        params.finish()?;
        Ok(read)
    }
}

/// The parameters of a list of groups: those of a list of tables.
pub(in crate::http) fn group_list(uri: &Uri) -> Result<GroupList, Problem> {
    page(Params::of(uri)?)
}

impl ConsumeParams {
    /// How rows are written that never end.
    pub(in crate::http) fn style(&self) -> Style {
        if self.events { Style::Events } else { Style::Lines }
    }

    /// What is asked of a table, and as which columns it is answered.
    pub(crate) fn ask(&self, table: &Table) -> Result<(Consume, Projection), Problem> {
        let buckets = table.spec.buckets;
        if let Some(bucket) = self.bucket.filter(|bucket| bucket.0 >= buckets) {
            return Err(no_such_bucket(bucket, buckets));
        }
        if let From::Position(position) = &self.from {
            check_buckets(position, buckets)?;
        }
        let projection = Projection::parse(&self.columns, &table.spec.schema)?;
        let filter = self.filter.as_deref().map(|text| Filter::parse(text, &table.spec.schema));
        let request = Consume {
            database: table.database.clone(),
            table: table.name.clone(),
            id: table.id,
            schema: table.spec.schema.id,
            columns: projection.sources().to_vec(),
            from: self.from.clone(),
            group: self.group.clone(),
            bucket: self.bucket,
            limit: self.limit,
            bytes_max: self.bytes_max,
            wait: self.wait,
            filter: filter.transpose()?.map(Arc::new),
        };
        Ok((request, projection))
    }
}

/// The parameters of a list of tables.
pub(crate) fn table_list(uri: &Uri) -> Result<TableList, Problem> {
    let mut params = Params::of(uri)?;
    let dropped = params.flag("dropped")?;
    let GroupList { prefix, after, limit } = page(params)?;
    Ok(TableList { prefix, after, limit, dropped })
}

/// What every list takes.
fn page(mut params: Params) -> Result<GroupList, Problem> {
    let prefix = params.take("prefix").unwrap_or_default();
    let after = params.take("after");
    let limit = params.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    params.finish()?;
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Problem::malformed(format!("limit={limit}: from 1 to {LIMIT_MAX}")));
    }
    Ok(GroupList { prefix, after, limit: usize::try_from(limit).unwrap_or(usize::MAX) })
}

/// The parameter of `offsets`.
pub(in crate::http) fn offsets_at(mut params: Params) -> Result<Option<From>, Problem> {
    let at = params.read("at", str::parse)?;
    params.finish()?;
    Ok(at)
}

/// Refuses any parameter.
pub(crate) fn no_params(uri: &Uri) -> Result<(), Problem> {
    Params::of(uri)?.finish()
}

/// A name out of a path.
pub(crate) fn name(text: &str) -> Result<Name, Problem> {
    Ok(Name::new(text)?)
}

/// Refuses a position with buckets that the table does not have.
pub(crate) fn check_buckets(position: &Position, buckets: u32) -> Result<(), Problem> {
    match position.0.keys().find(|bucket| bucket.0 >= buckets) {
        Some(bucket) => Err(no_such_bucket(*bucket, buckets)),
        None => Ok(()),
    }
}

/// The problem of a bucket that the table does not have.
pub(crate) fn no_such_bucket(bucket: Bucket, buckets: u32) -> Problem {
    Problem::new(
        Kind::NoSuchBucket,
        format!("there is no bucket {bucket}: the table has {buckets}, from 0 on"),
    )
}

/// `Producer-Id`, `Producer-Epoch`, `Producer-Seq`: all three or none.
pub(crate) fn producer(headers: &HeaderMap) -> Result<Option<Producer>, Problem> {
    const NAMES: [&str; 3] = ["Producer-Id", "Producer-Epoch", "Producer-Seq"];
    for name in NAMES {
        if headers.get_all(name).iter().count() > 1 {
            return Err(Problem::malformed(format!("header {name} is given twice")));
        }
    }
    let [id, epoch, seq] = NAMES.map(|name| headers.get(name));
    let (id, epoch, seq) = match (id, epoch, seq) {
        (None, None, None) => return Ok(None),
        (Some(id), Some(epoch), Some(seq)) => (id, epoch, seq),
        _ => {
            return Err(Problem::malformed(
                "send Producer-Id, Producer-Epoch and Producer-Seq: all three or none",
            ));
        }
    };
    let number = |name: &str, value: &axum::http::HeaderValue| {
        let number = value.to_str().ok().and_then(digits);
        number.ok_or_else(|| Problem::malformed(format!("{name}: expected a whole number, found {value:?}")))
    };
    let is_plain = |id: &str| {
        (1..=PRODUCER_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let id = id.to_str().ok().filter(|id| is_plain(id)).ok_or_else(|| {
        Problem::malformed(format!("Producer-Id: 1 to {PRODUCER_ID_BYTES_MAX} visible ASCII characters"))
    })?;
    Ok(Some(Producer {
        id: id.to_owned(),
        epoch: number("Producer-Epoch", epoch)?,
        seq: number("Producer-Seq", seq)?,
    }))
}

/// Whether events are asked for: by `format`, else by the first of `Accept`.
fn is_events(asked: Option<&str>, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let first = accept.split([',', ';']).next().unwrap_or_default().trim();
    asked.map_or_else(|| first.eq_ignore_ascii_case(EVENTS), |asked| asked == "sse")
}

/// The answer's format: `format`, else `Accept`, else JSON (when following: a row a line).
fn answer_format(asked: Option<&str>, headers: &HeaderMap, follow: bool) -> Result<Format, Problem> {
    let default = if follow { Format::Ndjson } else { Format::Json };
    let format = match asked {
        Some("json") => Format::Json,
        Some("ndjson") => Format::Ndjson,
        Some("arrow") => Format::ArrowStream,
        Some("csv") => Format::Csv,
        Some(other) => {
            return Err(Problem::unsupported(format!(
                "format={other:?} is not known: json, ndjson, csv, arrow or sse"
            )));
        }
        None => accepted(headers, default)?,
    };
    if follow && format != Format::Ndjson {
        return Err(Problem::unsupported(
            "follow=true answers a row a line or an event a row: use format=ndjson or format=sse",
        ));
    }
    Ok(format)
}

fn accepted(headers: &HeaderMap, default: Format) -> Result<Format, Problem> {
    let Some(accept) = headers.get(header::ACCEPT) else {
        return Ok(default);
    };
    let accept = accept.to_str().map_err(|_| Problem::malformed("header Accept is not text"))?;
    for range in accept.split(',') {
        let essence = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => return Ok(Format::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => return Ok(Format::Ndjson),
            "application/vnd.apache.arrow.stream" => return Ok(Format::ArrowStream),
            "text/csv" => return Ok(Format::Csv),
            "*/*" | "application/*" | "" => return Ok(default),
            _ => {}
        }
    }
    Err(Problem::unsupported(format!(
        "Accept: {accept} is not supported in this version: JSON, NDJSON, CSV, an Arrow stream or text/event-stream"
    )))
}

/// A JSON value as the text of a parameter; an array is a list of names.
fn text_of(name: &str, value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        Value::Array(items) => {
            let quoted = |item: &Value| Some(quoted(item.as_str()?));
            let names: Option<Vec<String>> = items.iter().map(quoted).collect();
            let names =
                names.ok_or_else(|| Problem::malformed(format!("{name}: an array may hold texts only")))?;
            Ok(names.join(","))
        }
        Value::Null | Value::Object(_) => Err(Problem::malformed(format!(
            "{name}: expected a text, a number, true, false or an array of texts"
        ))),
    }
}

/// A name as it stands in a list: in double quotes if it holds what would end it.
fn quoted(name: &str) -> String {
    if name.contains([',', '"']) || name.trim() != name {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// Bytes: a whole number, alone or with `KiB`, `MiB`, `kB` or `MB`.
fn size(text: &str) -> Result<usize, Problem> {
    let wrong =
        || Problem::malformed(format!("max_bytes={text:?}: write bytes, 512KiB or 8MiB, at most 64MiB"));
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        _ => return Err(wrong()),
    };
    let bytes = digits(number).and_then(|number| usize::try_from(number).ok()?.checked_mul(factor));
    bytes.filter(|bytes| (1..=BYTES_MAX).contains(bytes)).ok_or_else(wrong)
}

fn digits(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok()).flatten()
}
