//! A TOML document, read section by section. Whoever reads asks for the keys that there are; what was
//! not asked for is a mistake. A value that is none is reported, and missing from then on.

use std::{fmt::Display, ops::Range, ops::RangeInclusive};

use nigh_base::nearest;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistake::Mistakes;

/// A table of the document; an empty one where it was left out.
pub(super) struct Section<'d> {
    title: String,
    table: Option<&'d DeTable<'d>>,
    span: Range<usize>,
    known: Vec<&'static str>,
    mistakes: &'d Mistakes<'d>,
}

impl<'d> Section<'d> {
    /// The document itself.
    pub(super) fn root(table: &'d DeTable<'d>, mistakes: &'d Mistakes<'d>) -> Self {
        let title = "the file".to_owned();
        Self { title, table: Some(table), span: 0..0, known: Vec::new(), mistakes }
    }

    /// Whether it stands in the document.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// The table under `key`, with a header of its own.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        self.table_called(key, format!("[{key}]"), &format!("write [{key}] on a line of its own"))
    }

    /// The table under `key`, in braces.
    pub(super) fn inline(&mut self, key: &'static str) -> Self {
        self.table_called(key, format!("`{key}`"), &format!("write {key} = {{ ... }}"))
    }

    /// The tables under `key`, each with its name; `instead` is how to write one.
    pub(super) fn named(&mut self, key: &'static str, instead: &str) -> Vec<(&'d str, Self)> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => None,
        };
        let mistakes = self.mistakes;
        let mut sections = Vec::new();
        for (name, value) in table.into_iter().flatten() {
            let DeValue::Table(table) = value.get_ref() else { continue };
            let name: &str = name.get_ref();
            let title = format!("[{key}.{name}]");
            let (table, span) = (Some(table), value.span());
            sections.push((name, Self { title, table, span, known: Vec::new(), mistakes }));
        }
        // What stands beside them has no name.
        if table.is_none_or(|table| table.len() > sections.len()) {
            mistakes.add(value.span(), format!("each `{key}` has a name: write {instead}"));
        }
        sections
    }

    fn table_called(&mut self, key: &'static str, title: String, instead: &str) -> Self {
        let value = self.value(key);
        let (table, span) = match value.map(|value| (value.get_ref(), value.span())) {
            Some((DeValue::Table(table), span)) => (Some(table), span),
            Some((_, span)) => {
                self.mistakes.add(span.clone(), format!("`{key}` has keys of its own: {instead}"));
                (None, span)
            }
            None => (None, self.span.clone()),
        };
        Self { title, table, span, known: Vec::new(), mistakes: self.mistakes }
    }

    /// The tables under `key`, of which there may be any number; `title` is what each is called, and
    /// `instead` how to write one.
    pub(super) fn sections(&mut self, key: &'static str, title: &str, instead: &str) -> Vec<Self> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let elements = match value.get_ref() {
            DeValue::Array(elements) => elements.iter().collect(),
            _ => vec![value],
        };
        let mistakes = self.mistakes;
        let sections = elements.into_iter().filter_map(|element| match element.get_ref() {
            DeValue::Table(table) => Some(Self {
                title: title.to_owned(),
                table: Some(table),
                span: element.span(),
                known: Vec::new(),
                mistakes,
            })
            // Written with single brackets it is a table, and would be the only one.
            .filter(|_| !std::ptr::eq(element, value)),
            _ => None,
        });
        let sections: Vec<_> = sections.collect();
        if sections.is_empty() {
            mistakes.add(value.span(), format!("there may be several `{key}`: write {instead}"));
        }
        sections
    }

    /// A text that `parse` makes a value of.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key)?;
        self.text(key, value).and_then(|text| self.checked(value, parse(text)))
    }

    /// One text, or a list of texts.
    pub(super) fn list<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let DeValue::Array(elements) = value.get_ref() else {
            let text = self.text(key, value)?;
            return self.checked(value, parse(text)).map(|one| vec![one]);
        };
        let parsed = elements.iter().filter_map(|element| {
            self.text(key, element).and_then(|text| self.checked(element, parse(text)))
        });
        let parsed: Vec<_> = parsed.collect();
        // Each that is none was reported.
        (parsed.len() == elements.len()).then_some(parsed)
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.value(key)?;
        self.number_at(key, value, &range)
    }

    fn number_at(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<u64>,
    ) -> Option<u64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), *range.end());
            let message = match most {
                u64::MAX => format!("`{key}` is a whole number without quotes, {least} or more"),
                _ => format!("`{key}` is a whole number without quotes, from {least} to {most}"),
            };
            self.mistakes.add(value.span(), message);
        }
        number
    }

    /// One text or whole number, or a list of them, each read as text.
    pub(super) fn scalars<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<Vec<T>> {
        let value = self.value(key)?;
        let elements = match value.get_ref() {
            DeValue::Array(elements) => elements.iter().collect(),
            _ => vec![value],
        };
        let read = |element: &'d Spanned<DeValue<'d>>| {
            let text = match element.get_ref() {
                DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
                _ => self.text(key, element)?,
            };
            self.checked(element, parse(text))
        };
        // Each mistake is reported, not the first alone.
        let read: Vec<_> = elements.into_iter().map(read).collect();
        read.into_iter().collect()
    }

    /// A number, with or without a point.
    pub(super) fn float(&mut self, key: &'static str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.value(key)?;
        let number: Option<f64> = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            let message = format!("`{key}` is a number without quotes, from {least} to {most}");
            self.mistakes.add(value.span(), message);
        }
        number
    }

    /// The texts in the list of `key`, as far as there are any. It does not count as asking for the key.
    pub(super) fn texts(&self, key: &str) -> impl Iterator<Item = &'d str> {
        let elements = self.find(key).into_iter().flat_map(|value| match value.get_ref() {
            DeValue::Array(elements) => elements.iter().collect(),
            _ => vec![value],
        });
        elements.filter_map(|element| match element.get_ref() {
            DeValue::String(text) => Some(&**text),
            _ => None,
        })
    }

    /// True or false.
    pub(super) fn truth(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let DeValue::Boolean(truth) = value.get_ref() else {
            self.mistakes.add(value.span(), format!("`{key}` is true or false, without quotes"));
            return None;
        };
        Some(*truth)
    }

    /// Whether there is a value of this key that is a table.
    pub(super) fn is_table(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    /// Whether there is a value of this key that is true or false.
    pub(super) fn is_truth(&self, key: &str) -> bool {
        self.find(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Boolean(_)))
    }

    /// Whether there is a value of this key at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// Reports a mistake at the value of `key`, or at the section if it has none.
    pub(super) fn mistake(&self, key: &str, message: impl Display) {
        let span = self.find(key).map_or_else(|| self.span.clone(), Spanned::span);
        self.mistakes.add(span, message);
    }

    /// Reports a mistake at the value of `key` in the section `below`, or at that section; at this one if
    /// it has none.
    pub(super) fn mistake_below(&self, below: &str, key: &str, message: impl Display) {
        let section = self.find(below);
        let value = section.and_then(|section| match section.get_ref() {
            DeValue::Table(table) => find_in(table, key),
            _ => None,
        });
        let span = value.or(section).map_or_else(|| self.span.clone(), Spanned::span);
        self.mistakes.add(span, message);
    }

    /// Reports a mistake at an element of the list of `key`.
    pub(super) fn mistake_in(&self, key: &str, number: usize, message: impl Display) {
        let span = self.find(key).and_then(|value| match value.get_ref() {
            DeValue::Array(elements) => elements.get(number).map(Spanned::span),
            _ => None,
        });
        match span {
            Some(span) => self.mistakes.add(span, message),
            None => self.mistake(key, message),
        }
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(&self) {
        for (key, _) in self.table.into_iter().flatten() {
            let name: &str = key.get_ref();
            if !self.known.contains(&name) {
                let nearest = nearest(name, self.known.iter().copied());
                let nearest = nearest.expect("a section has keys");
                let title = &self.title;
                let message =
                    format!("there is no `{name}` in {title}; the nearest is `{nearest}`");
                self.mistakes.add(key.span(), message);
            }
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.find(key)
    }

    fn find(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        find_in(self.table?, key)
    }

    fn text(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Option<&'d str> {
        let DeValue::String(text) = value.get_ref() else {
            self.mistakes.add(value.span(), format!("`{key}` is text: write it in quotes"));
            return None;
        };
        Some(text)
    }

    fn checked<T, E: Display>(
        &self,
        value: &Spanned<DeValue<'_>>,
        parsed: Result<T, E>,
    ) -> Option<T> {
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.mistakes.add(value.span(), error);
                None
            }
        }
    }
}

fn find_in<'d>(table: &'d DeTable<'d>, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
    table.iter().find(|(held, _)| *held.get_ref() == key).map(|(_, value)| value)
}
