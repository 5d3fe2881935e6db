//! Licence expressions (SPDX, annex D): which ones let us ship under Apache-2.0 or MIT.

/// Licences that ask for no more than their text to be kept; and MPL-2.0, whose copyleft ends with the
/// file: what is linked with such a file keeps its own licence (section 3.3), and of the packages
/// under it we change none, so that their source is where crates.io has it.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether `expression` can be met by allowed licences alone. Old manifests have `/` for `OR`.
pub(super) fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { words: &words };
    let allowed = reader.either();
    allowed && reader.words.is_empty()
}

struct Reader<'words> {
    words: &'words [&'words str],
}

impl<'words> Reader<'words> {
    fn next(&mut self) -> Option<&'words str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn take(&mut self, word: &str) -> bool {
        let there = self.words.first() == Some(&word);
        if there {
            self.words = &self.words[1..];
        }
        there
    }

    /// Terms joined by `OR`, which binds less than `AND`.
    fn either(&mut self) -> bool {
        let mut allowed = self.both();
        while self.take("OR") {
            let other = self.both();
            allowed |= other;
        }
        allowed
    }

    fn both(&mut self) -> bool {
        let mut allowed = self.term();
        while self.take("AND") {
            let other = self.term();
            allowed &= other;
        }
        allowed
    }

    fn term(&mut self) -> bool {
        if self.take("(") {
            let allowed = self.either();
            return self.take(")") && allowed;
        }
        let Some(name) = self.next() else { return false };
        if self.take("WITH") {
            let exception = self.next().unwrap_or_default();
            return ALLOWED.contains(&format!("{name} WITH {exception}").as_str());
        }
        ALLOWED.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_allowed_licences_alone() {
        for allowed in [
            "MIT",
            "MIT/Apache-2.0",
            "GPL-3.0-only OR MIT",
            "ISC AND (Apache-2.0 OR GPL-2.0-only)",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0-only",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["", "GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "MIT MIT", "MIT WITH x"]
        {
            assert!(!is_allowed(refused), "{refused}");
        }
    }
}
