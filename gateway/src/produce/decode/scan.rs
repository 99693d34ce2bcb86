//! A scanner of JSON text that hands out values as slices of the body.
//!
//! Why not `serde_json` here: decimals and floats must come from the digits themselves (never through a rounded f64),
//! a wrong value must not end the scan (all of a request's errors are told at once), and an error shows the text that
//! was found. A property test holds this scanner to accept exactly what `serde_json` accepts.
//!
//! Invariants:
//! * a slice handed out is valid JSON of its kind (RFC 8259, strictly), strings with their escapes checked;
//! * no input panics, and nesting deeper than [`DEPTH_MAX`] is refused.

use std::borrow::Cow;

/// The deepest nesting of arrays and objects.
pub(crate) const DEPTH_MAX: usize = 64;

/// A place in the body where it stops being JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Byte offset in the scanned text.
    pub(crate) at: usize,
    /// What is wrong there.
    pub(crate) message: &'static str,
}

/// A value, or the beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Null,
    True,
    False,
    /// A number's text.
    Number(&'a str),
    String(Text<'a>),
    /// `[` was taken.
    Array,
    /// `{` was taken.
    Object,
}

/// A string between its quotes, escapes checked but not undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

/// A position in JSON text.
#[derive(Clone, Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, SyntaxError>;

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// The byte offset of what comes next.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The text from an earlier position up to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The next byte that is not blank; it stays.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The next value; of an array or object only its beginning.
    pub(crate) fn value(&mut self) -> Result<Token<'a>> {
        match self.peek() {
            Some(b'"') => self.string().map(Token::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b'n') => self.word("null", Token::Null),
            Some(b't') => self.word("true", Token::True),
            Some(b'f') => self.word("false", Token::False),
            Some(b'[') => self.open(Token::Array),
            Some(b'{') => self.open(Token::Object),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the text ends where a value is expected")),
        }
    }

    /// Within an array: whether another element follows. `first` is true before the first one.
    pub(crate) fn next_element(&mut self, first: bool) -> Result<bool> {
        match self.peek() {
            Some(b']') => {
                self.close();
                Ok(false)
            }
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.error("expected , or ]")),
            None => Err(self.error("the text ends within an array")),
        }
    }

    /// Within an object: the key of the next member, its colon taken. `first` is true before the first one.
    pub(crate) fn next_key(&mut self, first: bool) -> Result<Option<Text<'a>>> {
        match self.peek() {
            Some(b'}') => {
                self.close();
                return Ok(None);
            }
            Some(b',') if !first => self.at += 1,
            Some(_) if first => {}
            Some(_) => return Err(self.error("expected , or }")),
            None => return Err(self.error("the text ends within an object")),
        }
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a key in double quotes"));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.error("expected :"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Takes the rest of a value whose beginning is `token`.
    pub(crate) fn skip(&mut self, token: Token<'_>) -> Result<()> {
        match token {
            Token::Array => {
                let mut first = true;
                while self.next_element(first)? {
                    first = false;
                    let token = self.value()?;
                    self.skip(token)?;
                }
                Ok(())
            }
            Token::Object => {
                let mut first = true;
                while self.next_key(first)?.is_some() {
                    first = false;
                    let token = self.value()?;
                    self.skip(token)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// An error here.
    pub(crate) fn error(&self, message: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, message }
    }

    fn open(&mut self, token: Token<'a>) -> Result<Token<'a>> {
        if self.depth == DEPTH_MAX {
            return Err(self.error("nested deeper than 64 levels"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(token)
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.at += 1;
    }

    fn word(&mut self, word: &'static str, token: Token<'a>) -> Result<Token<'a>> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.at += word.len();
        Ok(token)
    }

    fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.take_if(b'-');
        if !self.take_if(b'0') {
            self.digits("expected a digit")?;
        }
        if self.take_if(b'.') {
            self.digits("expected a digit behind the point")?;
        }
        if self.take_if(b'e') || self.take_if(b'E') {
            if !self.take_if(b'+') {
                self.take_if(b'-');
            }
            self.digits("expected a digit in the exponent")?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self, message: &'static str) -> Result<()> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        while bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(self.error(message)) } else { Ok(()) }
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let there = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    fn string(&mut self) -> Result<Text<'a>> {
        self.at += 1;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            match rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20) {
                None => {
                    self.at = bytes.len();
                    return Err(self.error("the text ends within a string"));
                }
                Some(plain) => self.at += plain,
            }
            match bytes[self.at] {
                b'"' => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.error("a control character within a string must be escaped")),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let unit = self.unit(self.at)?;
                match unit {
                    0xD800..=0xDBFF => match self.unit(self.at + 6) {
                        Ok(0xDC00..=0xDFFF) => self.at += 12,
                        _ => return Err(self.error("half of a surrogate pair")),
                    },
                    0xDC00..=0xDFFF => return Err(self.error("half of a surrogate pair")),
                    _ => self.at += 6,
                }
                Ok(())
            }
            _ => Err(self.error("unknown escape")),
        }
    }

    /// The UTF-16 unit of the escape `\uXXXX` at a position.
    fn unit(&self, at: usize) -> Result<u16> {
        let escape = self.text.as_bytes().get(at..at + 6).unwrap_or_default();
        unit_of(escape).ok_or_else(|| self.error("expected \\u and four hexadecimal digits"))
    }
}

fn unit_of(escape: &[u8]) -> Option<u16> {
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0u16, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

impl<'a> Text<'a> {
    /// Text that stands for itself.
    pub(super) fn plain(text: &'a str) -> Self {
        Self { raw: text, escaped: false }
    }

    /// The text with its escapes undone.
    pub(crate) fn decoded(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

fn unescape(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes().get(1) {
            Some(b'u') => {
                let (character, taken) = unicode_escape(rest.as_bytes());
                text.push(character);
                taken
            }
            Some(&plain) => {
                text.push(match plain {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    plain => char::from(plain),
                });
                2
            }
            None => 1,
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

/// The character at the beginning of `\uXXXX…`, and how many bytes it takes. The scanner has checked them.
fn unicode_escape(escape: &[u8]) -> (char, usize) {
    let unit = |range| escape.get(range).and_then(unit_of).unwrap_or(0xFFFD);
    let high = unit(0..6);
    if !(0xD800..=0xDBFF).contains(&high) {
        return (char::from_u32(u32::from(high)).unwrap_or(char::REPLACEMENT_CHARACTER), 6);
    }
    let pair = [high, unit(6..12)];
    let character = char::decode_utf16(pair).next().and_then(std::result::Result::ok);
    (character.unwrap_or(char::REPLACEMENT_CHARACTER), 12)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(text: &str) -> Result<()> {
        let mut scanner = Scanner::new(text);
        let token = scanner.value()?;
        scanner.skip(token)?;
        match scanner.peek() {
            None => Ok(()),
            Some(_) => Err(scanner.error("more")),
        }
    }

    #[test]
    fn strings_lose_their_escapes() {
        for text in [r#""a\n\"\\\/\u00e9\ud83d\ude00\u0000""#, r#""""#, r#""ünï""#, r#""\\u0041""#] {
            let Token::String(string) = Scanner::new(text).value().unwrap() else { panic!("no string") };
            assert_eq!(string.decoded(), serde_json::from_str::<String>(text).unwrap());
        }
    }

    #[test]
    fn broken_text_is_refused_where_it_breaks() {
        for (text, at) in
            [("", 0), ("[1,", 3), ("[1 2]", 3), ("{\"a\" 1}", 5), ("01", 1), ("\"\\ud800\"", 1), ("[1,]", 3)]
        {
            assert_eq!(scan(text).unwrap_err().at, at, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        assert!(scan(&format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX))).is_ok());
        assert!(scan(&"[".repeat(100_000)).is_err());
        assert!(scan(&"{\"a\":".repeat(100_000)).is_err());
    }

    fn near_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"",
            "1",
            "-",
            "0",
            ".5",
            "e+3",
            "null",
            "true",
            "fals",
            " ",
            "\n",
            "\\u00",
            "\\ud800",
            "\\udc00",
            "\\n",
            "é",
            "[1,2]",
            "{\"k\":\"v\"}",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn accepts_what_serde_json_accepts(text in near_json()) {
            prop_assert_eq!(scan(&text).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn never_panics(text in ".*") {
            prop_assert_eq!(scan(&text).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
