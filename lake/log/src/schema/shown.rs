//! Names and texts of others in messages: plain ones as they are, the rest quoted, long ones cut.

/// The characters of a name or text that a message shows.
const SHOWN_CHARS_MAX: usize = 64;

/// A path of names: `person.address.zip`.
pub(super) fn shown_path<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    let shown: Vec<String> = path.into_iter().map(shown).collect();
    shown.join(".")
}

/// A name: as it is if it needs no quotes in SQL, else quoted.
pub(super) fn shown(name: &str) -> String {
    if is_plain(name) { cut(name, SHOWN_CHARS_MAX) } else { quoted(name) }
}

/// A text in quotes, escaped.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    format!("{cut:?}{}", if cut.len() < text.len() { "…" } else { "" })
}

/// The first characters of a text.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    let cut: String = text.chars().take(chars_max).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Whether a name needs no quotes in SQL.
pub(super) fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}
