//! A file, or standard input, cut into batches without ever being in memory as a whole.
//!
//! Invariants:
//! * a batch is a whole body in the file's own format: lines, an array, an Arrow stream, CSV with its header;
//! * a regular file is always cut in the same places, so that a run can be repeated; standard input is also cut when
//!   no more comes for a moment, so that rows do not lie about.
//!
//! Start reading at [`Input::next`]; bytes come from a thread of their own, since reading a file blocks.

mod arrow_stream;
mod csv;
mod elements;
mod lines;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Format;
use csv::Csv;
use elements::Elements;
use lines::Lines;

/// How much is read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// How many chunks are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// How long rows of standard input wait for more.
const LINGER: Duration = Duration::from_millis(100);

/// The largest row; the gateway's own limit lies far below.
const ROW_BYTES_MAX: usize = 64 << 20;

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) rows_max: u64,
    /// Bytes of the body; a single larger row is a batch of its own.
    pub(crate) bytes_max: usize,
}

/// Rows for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) format: Format,
    pub(crate) body: Bytes,
    pub(crate) rows: u64,
    /// How many rows of the file come before.
    pub(crate) first_row: u64,
    /// The line of the file that the body begins on, from 1, where rows are lines.
    pub(crate) first_line: Option<u64>,
}

/// Where batches come from.
#[derive(Debug)]
pub(crate) struct Input {
    name: String,
    length: Option<u64>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Text { chunks: mpsc::Receiver<io::Result<Bytes>>, splitter: Splitter, linger: bool, ended: bool },
    Arrow(mpsc::Receiver<anyhow::Result<Batch>>),
}

#[derive(Debug)]
enum Splitter {
    Lines(Lines),
    Elements(Elements),
    Csv(Csv),
}

/// An opened file and its first bytes.
struct Opened {
    reader: Box<dyn Read + Send>,
    head: Vec<u8>,
    length: Option<u64>,
}

impl Input {
    /// Opens a file; nothing or `-` is standard input.
    ///
    /// # Errors
    /// If it cannot be read, or is in no format that is known.
    pub(crate) async fn open(
        path: Option<&Path>,
        format: Option<Format>,
        limits: Limits,
    ) -> anyhow::Result<Self> {
        let path = path.filter(|path| *path != Path::new("-")).map(Path::to_path_buf);
        let name = path.as_ref().map_or_else(
            || "standard input".to_owned(),
            |path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        );
        let extension = path.as_deref().map(extension).unwrap_or_default();
        let linger = path.is_none();
        let opened = tokio::task::spawn_blocking(move || open(path.as_deref())).await;
        let opened =
            opened.context("the reading thread ended")?.with_context(|| format!("cannot read {name}"))?;
        let format = match format {
            Some(format) => format,
            None => sniff(&opened.head, &extension).with_context(|| format!("cannot produce {name}"))?,
        };
        let length = opened.length;
        let source = match format {
            Format::Ndjson => Source::text(opened, Splitter::Lines(Lines::new(limits)), linger),
            Format::Json => Source::text(opened, Splitter::Elements(Elements::new(limits)), linger),
            Format::Csv => Source::text(opened, Splitter::Csv(Csv::new(limits)), linger),
            Format::Arrow => Source::Arrow(arrow_stream::start(opened.whole(), limits)),
        };
        Ok(Self { name, length, source })
    }

    /// The file's name, without its directory.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next batch, if there are more rows.
    ///
    /// # Errors
    /// If reading fails, or the bytes cannot be cut into rows.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        match &mut self.source {
            Source::Arrow(batches) => batches.recv().await.transpose(),
            Source::Text { chunks, splitter, linger, ended } => loop {
                if let Some(batch) = splitter.take()? {
                    return Ok(Some(batch));
                }
                if *ended {
                    return Ok(None);
                }
                let chunk = if *linger && splitter.has_rows() {
                    match timeout(LINGER, chunks.recv()).await {
                        Ok(chunk) => chunk,
                        Err(_) => return Ok(splitter.cut()),
                    }
                } else {
                    chunks.recv().await
                };
                match chunk {
                    Some(chunk) => splitter.push(&chunk.context("reading failed")?)?,
                    None => {
                        *ended = true;
                        splitter.end()?;
                    }
                }
            },
        }
    }
}

impl Source {
    fn text(opened: Opened, splitter: Splitter, linger: bool) -> Self {
        let (send, chunks) = mpsc::channel(CHUNKS_AHEAD);
        tokio::task::spawn_blocking(move || {
            let bom = opened.head.starts_with(b"\xEF\xBB\xBF");
            let mut reader = opened.whole();
            if bom && let Err(error) = reader.read_exact(&mut [0; 3]) {
                drop(send.blocking_send(Err(error)));
                return;
            }
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let chunk = match reader.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(length) => {
                        chunk.truncate(length);
                        Ok(Bytes::from(chunk))
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let failed = chunk.is_err();
                if send.blocking_send(chunk).is_err() || failed {
                    return;
                }
            }
        });
        Self::Text { chunks, splitter, linger, ended: false }
    }
}

impl Splitter {
    /// Takes more bytes.
    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.push(bytes),
            Self::Elements(elements) => elements.push(bytes)?,
            Self::Csv(csv) => csv.push(bytes),
        }
        Ok(())
    }

    /// A full batch, if there is one.
    fn take(&mut self) -> anyhow::Result<Option<Batch>> {
        match self {
            Self::Lines(lines) => lines.take(),
            Self::Elements(elements) => Ok(elements.take()),
            Self::Csv(csv) => csv.take(),
        }
    }

    /// Whether there are whole rows that [`Splitter::cut`] would give.
    fn has_rows(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.has_rows(),
            Self::Elements(elements) => elements.has_rows(),
            Self::Csv(csv) => csv.has_rows(),
        }
    }

    /// The whole rows so far, though they are no full batch.
    fn cut(&mut self) -> Option<Batch> {
        match self {
            Self::Lines(lines) => lines.cut(),
            Self::Elements(elements) => elements.cut(),
            Self::Csv(csv) => csv.cut(),
        }
    }

    /// No more bytes come: what is left becomes a batch.
    fn end(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Lines(lines) => lines.end(),
            Self::Elements(elements) => elements.end()?,
            Self::Csv(csv) => csv.end(),
        }
        Ok(())
    }
}

impl Opened {
    fn whole(self) -> Box<dyn Read + Send> {
        Box::new(io::Cursor::new(self.head).chain(self.reader))
    }
}

fn open(path: Option<&Path>) -> io::Result<Opened> {
    let (mut reader, length): (Box<dyn Read + Send>, _) = match path {
        None => (Box::new(io::stdin()), None),
        Some(path) => {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::Error::from(io::ErrorKind::IsADirectory));
            }
            let length = metadata.is_file().then_some(metadata.len());
            (Box::new(file), length)
        }
    };
    let head = head_of(&mut *reader)?;
    let whole = Opened { reader, head, length };
    // What is packed is unpacked on the way; how long it will be is not known then.
    let mut reader: Box<dyn Read + Send> = match whole.head.as_slice() {
        [0x1F, 0x8B, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole.whole())),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Box::new(zstd::stream::read::Decoder::new(whole.whole())?),
        _ => return Ok(whole),
    };
    let head = head_of(&mut *reader)?;
    Ok(Opened { reader, head, length: None })
}

/// A file's first bytes: enough to tell the formats apart, and to see past a few blank lines.
fn head_of(reader: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut head = vec![0; 4096];
    let mut filled = 0;
    while filled < 8 {
        match reader.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// What a file's name ends in, in small letters; of `clicks.csv.gz` it is `csv`.
fn extension(path: &Path) -> String {
    let of =
        |path: &Path| path.extension().and_then(|it| it.to_str()).unwrap_or_default().to_ascii_lowercase();
    match (of(path).as_str(), path.file_stem()) {
        ("gz" | "zst" | "zstd", Some(stem)) => of(Path::new(stem)),
        (extension, _) => extension.to_owned(),
    }
}

/// The format that the first bytes show; the file's ending decides between a row a line and rows of several lines.
fn sniff(head: &[u8], extension: &str) -> anyhow::Result<Format> {
    if head.starts_with(b"ARROW1") || head.starts_with(&[0xFF; 4]) {
        return Ok(Format::Arrow);
    }
    let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    match text.first() {
        // A header may begin with anything: only the name tells CSV.
        Some(_) if extension == "csv" => Ok(Format::Csv),
        Some(b'[') => Ok(Format::Json),
        Some(b'{') if extension == "json" => Ok(Format::Json),
        Some(b'{') | None => Ok(Format::Ndjson),
        Some(_) if head.starts_with(b"PAR1") => {
            anyhow::bail!("it is Parquet, which is not supported in this version: convert it to Arrow")
        }
        Some(_) => {
            anyhow::bail!(
                "it is neither NDJSON, a JSON array nor Arrow; --format says which, if it is (CSV is known by its name)"
            )
        }
    }
}

/// The first batch of a file, for those who only look.
///
/// # Errors
/// As [`Input::open`] and [`Input::next`].
pub(crate) async fn peek(path: &Path, limits: Limits) -> anyhow::Result<Option<Batch>> {
    Input::open(Some(path), None, limits).await?.next().await
}

#[cfg(test)]
mod tests;
