//! A small reader of JSON (RFC 8259), for what `cargo metadata` prints.
//!
//! Numbers stay text, since nobody here counts with them; the rest is as the standard has it.

use std::collections::BTreeMap;

/// How deep values may be nested; cargo's are about eight deep.
const MAX_DEPTH: usize = 64;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    Object(BTreeMap<String, Self>),
}

impl Json {
    /// Reads `text` as one value.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(reader.wrong("the end")) }
    }

    /// The member `name` of an object; `Null` where there is none.
    pub(crate) fn member(&self, name: &str) -> &Self {
        match self {
            Self::Object(members) => members.get(name).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Self::List(items) = self { items } else { &[] }
    }

    /// The members of an object; none for anything else.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Self)> {
        let members = if let Self::Object(members) = self { Some(members) } else { None };
        members.into_iter().flatten().map(|(name, value)| (name.as_str(), value))
    }
}

struct Reader<'text> {
    text: &'text str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong(&self, wanted: &str) -> String {
        let found: String = self.rest().chars().take(20).collect();
        format!("JSON at byte {}: expected {wanted}, found {found:?}", self.at)
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
        }
        there
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(token)) }
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.wrong("fewer levels"));
        }
        self.space();
        match self.rest().bytes().next() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'n') => self.need("null").map(|()| Json::Null),
            Some(b't') => self.need("true").map(|()| Json::Bool(true)),
            Some(b'f') => self.need("false").map(|()| Json::Bool(false)),
            Some(b'-' | b'0'..=b'9') => Ok(self.number()),
            _ => Err(self.wrong("a value")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut members = BTreeMap::new();
        self.need("{")?;
        self.space();
        if self.take("}") {
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.need(":")?;
            members.insert(name, self.value(depth + 1)?);
            self.space();
            if self.take("}") {
                return Ok(Json::Object(members));
            }
            self.need(",")?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        let mut items = Vec::new();
        self.need("[")?;
        self.space();
        if self.take("]") {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.take("]") {
                return Ok(Json::List(items));
            }
            self.need(",")?;
        }
    }

    fn number(&mut self) -> Json {
        let rest = self.rest();
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = rest[..end.unwrap_or(rest.len())].to_owned();
        self.at += number.len();
        Json::Number(number)
    }

    fn string(&mut self) -> Result<String, String> {
        self.need("\"")?;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else {
                return Err(self.wrong("the end of a string"));
            };
            text.push_str(&rest[..end]);
            self.at += end;
            if self.take("\"") {
                return Ok(text);
            }
            self.need("\\")?;
            text.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let Some(letter) = self.rest().chars().next() else {
            return Err(self.wrong("a character"));
        };
        self.at += letter.len_utf8();
        match letter {
            '"' | '\\' | '/' => Ok(letter),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => self.code_point(),
            _ => Err(self.wrong("an escape")),
        }
    }

    /// Reads what follows `\u`: four digits, and for characters beyond them a second escape.
    fn code_point(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.wrong("a character"));
        }
        self.need("\\u")?;
        let second = self.four_digits()?;
        let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
        low.and_then(|low| char::from_u32(0x10000 + ((first - 0xd800) << 10) + low))
            .ok_or_else(|| self.wrong("the second half of a character"))
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let digits =
            self.rest().get(..4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(number) = digits.and_then(|four| u32::from_str_radix(four, 16).ok()) else {
            return Err(self.wrong("four digits"));
        };
        self.at += 4;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind_are_read() {
        let value = Json::read(r#" {"a": [1.5e3, true, null, "x\n\u00e9\ud83d\ude00"], "b": {}} "#)
            .expect("it is JSON");
        let items = value.member("a").items();
        assert_eq!(items[0], Json::Number("1.5e3".into()));
        assert_eq!(items[1], Json::Bool(true));
        assert_eq!(items[2], Json::Null);
        assert_eq!(items[3].text(), Some("x\né😀"));
        assert_eq!(value.member("b").members().count(), 0);
        assert_eq!(value.member("missing"), &Json::Null);
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for text in ["", "{", "[1,]", "{\"a\" 1}", "\"\\x\"", "\"\\ud800\"", "1 2", "nul", "\"open"]
        {
            let message = Json::read(text).expect_err(text);
            assert!(message.starts_with("JSON at byte"), "{text}: {message}");
        }
        assert!(Json::read(&"[".repeat(100_000)).is_err());
    }
}
