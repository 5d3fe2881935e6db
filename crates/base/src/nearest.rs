//! The name that somebody may have meant who wrote another.

/// Of `names` the one that is nearest to `written`; the first of several that are as near. None if there
/// are no names.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names.into_iter().min_by_key(|name| edits(name, written))
}

/// How many letters one has to put in, take out or replace to make `to` of `from` (Levenshtein,
/// 1966), by the row-wise method of Wagner and Fischer (1974).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_as_by_hand() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "ring", 4),
            ("kitten", "sitting", 3),
            ("chord-load", "chord-loads", 1),
        ] {
            assert_eq!((edits(from, to), edits(to, from)), (count, count), "{from} {to}");
        }
    }

    #[test]
    fn the_nearest_name_takes_the_fewest_edits() {
        assert_eq!(
            nearest("max_objects", ["memory", "max_object", "eviction"]),
            Some("max_object")
        );
        assert_eq!(nearest("x", []), None);
    }
}
